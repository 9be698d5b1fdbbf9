"""Mixtures: weighted sources of tasks, drawn deterministically."""
