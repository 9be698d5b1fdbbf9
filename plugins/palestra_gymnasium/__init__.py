"""Gymnasium's environments as Palestra's: those over text, and the games of `toy_text`."""
