"""Palestra's environments in other people's trainers."""
