"""How exact numbers are written in references: fractions, roots, multiples of pi."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt


def fraction(value: Fraction | int, times: str = "") -> str:
    r"""Return ``-\frac{3}{4}``, or ``5``; with `times` ``\frac{3\pi}{4}``, or ``\pi``."""
    value = Fraction(value)
    sign, above = ("-" if value < 0 else ""), abs(value.numerator)
    shown = times if times and above == 1 else f"{above}{times}" if above else "0"
    return sign + (shown if value.denominator == 1 else f"\\frac{{{shown}}}{{{value.denominator}}}")


def root(square: Fraction) -> str:
    r"""Return the root of a number, squares taken out: ``\frac{2\sqrt{3}}{5}``."""
    product = square.numerator * square.denominator
    outside = next(k for k in range(isqrt(product) or 1, 0, -1) if product % (k * k) == 0)
    inside = product // (outside * outside)
    factor = Fraction(outside, square.denominator)
    return fraction(factor if product else 0, "" if inside <= 1 else f"\\sqrt{{{inside}}}")
