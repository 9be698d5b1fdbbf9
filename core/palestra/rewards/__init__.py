"""Reward models: what a recipe can pay for beyond an environment's own score."""
