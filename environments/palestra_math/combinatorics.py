"""`math/Combinatorics-v1`: counting that ends in one integer."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from palestra.envs import Task
from palestra_math.answering import AnswerEnv


class CombinatoricsEnv(AnswerEnv):
    """Levels: 1 ordered choices; 2 committees of two groups; 3 arrangements of letters; 4 lattice
    paths that miss a point; 5 sums of bounded numbers."""

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        kinds = (_ordered, _committees, _letters, _paths, _bounded)
        prompt, value, drawn = kinds[difficulty - 1](rng)
        return Task(prompt=prompt, reference=str(value), metadata={"drawn": drawn}, language="en")


Drawn = tuple[str, int, list[int] | str]
_EVENTS = ("race", "contest", "tournament", "regatta", "rally", "quiz", "auction", "audition")
_OFFICES = ("medals", "prizes", "offices", "seats", "awards", "titles", "roles", "keys")


def _ordered(rng: np.random.Generator) -> Drawn:
    n, k = int(rng.integers(5, 41)), int(rng.integers(2, 5))
    event, prize = (words[int(rng.integers(8))] for words in (_EVENTS, _OFFICES))
    prompt = (
        f"{n} people enter a {event}. In how many ways can {k} different {prize} go to {k} of "
        "them, one each?"
    )
    return prompt, math.perm(n, k), [n, k]


def _committees(rng: np.random.Generator) -> Drawn:
    a, b = (int(n) for n in rng.integers(4, 16, size=2))
    k, m = int(rng.integers(1, a)), int(rng.integers(1, b))
    prompt = (
        f"From {a} teachers and {b} students, in how many ways can a committee of {k} teachers and "
        f"{m} students be formed?"
    )
    return prompt, math.comb(a, k) * math.comb(b, m), [a, k, b, m]


def _letters(rng: np.random.Generator) -> Drawn:
    alphabet = [chr(ord("A") + int(i)) for i in rng.choice(26, size=5, replace=False)]
    word = "".join(alphabet[int(i)] for i in rng.integers(0, 5, size=int(rng.integers(5, 10))))
    repeats = math.prod(math.factorial(n) for n in Counter(word).values())
    prompt = f"How many different strings can be made by arranging all the letters of {word}?"
    return prompt, math.factorial(len(word)) // repeats, word


def _paths(rng: np.random.Generator) -> Drawn:
    m, n = (int(k) for k in rng.integers(3, 11, size=2))
    x, y = int(rng.integers(1, m)), int(rng.integers(1, n))
    through = math.comb(x + y, x) * math.comb(m - x + n - y, m - x)
    prompt = (
        f"A path goes from (0, 0) to ({m}, {n}) in unit steps right or up. How many such paths do "
        f"not pass through ({x}, {y})?"
    )
    return prompt, math.comb(m + n, m) - through, [m, n, x, y]


def _bounded(rng: np.random.Generator) -> Drawn:
    k, top = int(rng.integers(3, 6)), int(rng.integers(4, 13))
    total = int(rng.integers(top, k * top // 2 + 2))
    value = sum(
        (-1) ** j * math.comb(k, j) * math.comb(total - j * (top + 1) + k - 1, k - 1)
        for j in range(total // (top + 1) + 1)
        if j <= k
    )
    names = ", ".join(f"x_{i + 1}" for i in range(k))
    prompt = (
        f"How many ordered tuples ({names}) of integers with 0 <= x_i <= {top} have sum {total}?"
    )
    return prompt, value, [k, top, total]
