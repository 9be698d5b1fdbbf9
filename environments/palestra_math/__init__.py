"""Palestra's math environments."""
