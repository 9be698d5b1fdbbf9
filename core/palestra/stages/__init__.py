"""Stages: the nodes of a recipe's graph."""
