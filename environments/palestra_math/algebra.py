"""`math/Algebra-v1`: equations, systems and polynomials whose solutions are exact."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from palestra.envs import Task
from palestra_math.answering import AnswerEnv
from palestra_math.latex import fraction


class AlgebraEnv(AnswerEnv):
    """Levels: 1 linear, integer solution; 2 linear on both sides, a fraction; 3 quadratic, both
    solutions; 4 two equations, the pair; 5 a symmetric function of the roots of a cubic."""

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        return (_linear, _both_sides, _quadratic, _system, _cubic)[difficulty - 1](rng)


def polynomial(coefficients: list[int], names: tuple[str, ...]) -> str:
    """Return ``2x^2-x+3`` for (2, -1, 3) and names (``x^2``, ``x``, and an empty one)."""
    terms = ""
    for number, name in zip(coefficients, names, strict=True):
        if number:
            size = "" if abs(number) == 1 and name else str(abs(number))
            terms += ("-" if number < 0 else "+" if terms else "") + size + name
    return terms or "0"


def _nonzero(rng: np.random.Generator, size: int) -> int:
    return int(rng.integers(1, size + 1)) * (1 if rng.random() < 0.5 else -1)


def _linear(rng: np.random.Generator) -> Task:
    a, x, b = _nonzero(rng, 12), _nonzero(rng, 99), _nonzero(rng, 99)
    return Task(
        prompt=f"Solve for x: {polynomial([a, b], ('x', ''))} = {a * x + b}",
        reference=str(x),
        metadata={"a": a, "b": b, "c": 0, "d": a * x + b},
        language="en",
    )


def _both_sides(rng: np.random.Generator) -> Task:
    while True:
        a, b, c, d = (_nonzero(rng, 20) for _ in range(4))
        if a != c and Fraction(d - b, a - c).denominator > 1:
            break
    left, right = polynomial([a, b], ("x", "")), polynomial([c, d], ("x", ""))
    return Task(
        prompt=f"Solve for x: {left} = {right}. Give x as a fraction.",
        reference=fraction(Fraction(d - b, a - c)),
        metadata={"a": a, "b": b, "c": c, "d": d},
        language="en",
    )


def _quadratic(rng: np.random.Generator) -> Task:
    r, s = _nonzero(rng, 30), _nonzero(rng, 30)
    while s == r:
        s = _nonzero(rng, 30)
    a = int(rng.integers(1, 5))
    coefficients = [a, -a * (r + s), a * r * s]
    return Task(
        prompt=f"Find all solutions of {polynomial(coefficients, ('x^2', 'x', ''))} = 0.",
        reference=f"\\{{{min(r, s)}, {max(r, s)}\\}}",
        metadata={"coefficients": coefficients},
        language="en",
    )


def _system(rng: np.random.Generator) -> Task:
    x, y = _nonzero(rng, 20), _nonzero(rng, 20)
    while True:
        a, b, c, d = (_nonzero(rng, 9) for _ in range(4))
        if a * d != b * c:
            break
    first, second = polynomial([a, b], ("x", "y")), polynomial([c, d], ("x", "y"))
    return Task(
        prompt=(
            f"Solve the system {first} = {a * x + b * y} and {second} = {c * x + d * y}. "
            "Give the ordered pair (x, y)."
        ),
        reference=f"({x}, {y})",
        metadata={"rows": [[a, b, a * x + b * y], [c, d, c * x + d * y]]},
        language="en",
    )


def _cubic(rng: np.random.Generator) -> Task:
    p, q, r = (_nonzero(rng, 15) for _ in range(3))
    cubes = bool(rng.integers(2))
    value = -(p**3) + 3 * p * q - 3 * r if cubes else p * p - 2 * q
    power = 3 if cubes else 2
    shown = polynomial([1, p, q, r], ("x^3", "x^2", "x", ""))
    return Task(
        prompt=f"Let u, v and w be the roots of {shown}. Find u^{power} + v^{power} + w^{power}.",
        reference=str(value),
        metadata={"coefficients": [1, p, q, r], "power": power},
        language="en",
    )
