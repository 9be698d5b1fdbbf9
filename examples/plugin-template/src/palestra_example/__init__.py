"""A complete third-party package for Palestra: copy it, rename it, replace the environment."""
