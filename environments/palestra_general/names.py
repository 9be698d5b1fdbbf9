"""Made-up proper names, so that nothing about them can be known beforehand."""

from __future__ import annotations

import numpy as np

_OPEN = ("Ba", "Da", "Fe", "Go", "Ha", "Jo", "Ka", "Li", "Mo", "Na", "Pe", "Ru", "Sa", "To", "Vi")
_MIDDLE = ("l", "ld", "lm", "m", "n", "nd", "r", "rg", "rv", "s", "st", "v", "x", "z")
_PERSON = ("a", "an", "e", "ek", "en", "i", "in", "o", "or", "us")
_PLACE = ("aby", "berg", "dale", "ford", "grad", "ham", "holm", "stad", "ton", "wick")


def person(rng: np.random.Generator) -> str:
    """Return a first and a last name."""
    return f"{_joined(rng, _PERSON)} {_joined(rng, _PERSON)}"


def place(rng: np.random.Generator) -> str:
    """Return the name of a town."""
    return _joined(rng, _PLACE)


def river(rng: np.random.Generator) -> str:
    """Return the name of a river."""
    return _joined(rng, ("a", "e", "ena", "ia", "ona"))


def _joined(rng: np.random.Generator, endings: tuple[str, ...]) -> str:
    return f"{rng.choice(_OPEN)}{rng.choice(_MIDDLE)}{rng.choice(endings)}"
