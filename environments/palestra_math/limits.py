"""What the grader refuses to read: every loop over model text is bounded by one of these.

A completion may be of any length; an answer may not. Nothing here is a matter of taste for a real
answer: the longest reference of MATH has 159 characters.
"""

from __future__ import annotations

TAIL = 20_000
"""An answer is looked for in so many characters at the end of the text behind the thoughts."""

MAX_ANSWER = 1_000
"""Characters of one answer."""

MAX_DIGITS = 400
"""Digits of a numeral, and of the numerator and denominator of every number on the way."""

MAX_NODES = 300
"""Operations and leaves of an expression."""

MAX_DEPTH = 40
"""Brackets within brackets."""

MAX_PARTS = 64
"""Members of a set, a tuple or a union, and entries of a matrix."""


class Unreadable(ValueError):
    """An answer that the grader cannot or will not read; its text says why, for a person."""
