"""Palestra's general environments."""
