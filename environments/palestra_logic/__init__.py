"""Palestra's logic environments."""
