"""Plugins: what they may bring, how they are found, and how they are kept apart."""
