"""Weekday arithmetic: an environment for Palestra."""
