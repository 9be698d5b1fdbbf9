"""Palestra: reasoning environments as plugins, and the DeepSeek-R1 recipe."""
