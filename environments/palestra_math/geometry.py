"""`math/Geometry-v1`: lengths, areas and circles with exact answers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from palestra.envs import Task
from palestra_math.answering import AnswerEnv
from palestra_math.latex import fraction, root


class GeometryEnv(AnswerEnv):
    """Levels: 1 rectangles; 2 distances, as roots; 3 areas of triangles by coordinates; 4 sectors,
    as multiples of pi; 5 a point's distance from a line."""

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        kinds = (_rectangle, _distance, _triangle, _sector, _from_line)
        prompt, reference, numbers = kinds[difficulty - 1](rng)
        return Task(
            prompt=prompt, reference=reference, metadata={"numbers": numbers}, language="en"
        )


Drawn = tuple[str, str, list[int]]


def _rectangle(rng: np.random.Generator) -> Drawn:
    a, b = (int(n) for n in rng.integers(2, 100, size=2))
    if rng.random() < 0.5:
        return f"A rectangle has sides {a} and {b}. Find its area.", str(a * b), [a, b, 0]
    prompt = f"A rectangle has area {a * b} and one side {a}. Find its perimeter."
    return prompt, str(2 * (a + b)), [a, b, 1]


def _distance(rng: np.random.Generator) -> Drawn:
    while True:
        a, b, c, d = (int(n) for n in rng.integers(-20, 21, size=4))
        if (a, b) != (c, d):
            break
    square = Fraction((a - c) ** 2 + (b - d) ** 2)
    prompt = f"Find the exact distance between the points ({a}, {b}) and ({c}, {d})."
    return prompt, root(square), [a, b, c, d]


def _triangle(rng: np.random.Generator) -> Drawn:
    while True:
        a, b, c, d, e, f = (int(n) for n in rng.integers(-15, 16, size=6))
        twice = abs((c - a) * (f - b) - (e - a) * (d - b))
        if twice:
            break
    prompt = f"Find the area of the triangle with vertices ({a}, {b}), ({c}, {d}) and ({e}, {f})."
    return prompt, fraction(Fraction(twice, 2)), [a, b, c, d, e, f]


def _sector(rng: np.random.Generator) -> Drawn:
    radius, angle = int(rng.integers(2, 41)), 15 * int(rng.integers(1, 24))
    arc = bool(rng.integers(2))
    share = Fraction(angle, 360)
    value = 2 * radius * share if arc else radius * radius * share
    what = "arc length" if arc else "area"
    prompt = (
        f"A sector of a circle of radius {radius} has a central angle of {angle} degrees. "
        f"Find its exact {what}."
    )
    return prompt, fraction(value, "\\pi"), [radius, angle, int(arc)]


def _from_line(rng: np.random.Generator) -> Drawn:
    while True:
        a, b, c, x, y = (int(n) for n in rng.integers(-12, 13, size=5))
        if a and b and a * x + b * y + c:
            break
    square = Fraction((a * x + b * y + c) ** 2, a * a + b * b)
    prompt = (
        f"Find the exact distance from the point ({x}, {y}) to the line {a}x + ({b})y + ({c}) = 0."
    )
    return prompt, root(square), [a, b, c, x, y]
