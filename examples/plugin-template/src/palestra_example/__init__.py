"""Environments for Palestra, in the namespace `example`."""
