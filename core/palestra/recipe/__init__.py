"""Recipes: a graph of stages in YAML, checked before anything loads."""
