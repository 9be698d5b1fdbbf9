"""Palestra's language package: which language a text is in, and environments that ask for one."""

from palestra_language.share import target_language_share

__all__ = ["target_language_share"]
