"""Curricula: what decides how hard the next tasks of a mixture are."""
