"""The functions that `code/Repair-v1` breaks: each ends after few steps, whatever is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Draw = Callable[[np.random.Generator], list[Any]]


@dataclass(frozen=True, slots=True)
class Piece:
    """A function, what it is for, and how its arguments are drawn.

    Attributes:
        name: of the function.
        purpose: what it returns, in one sentence.
        source: a correct one, without a ``while``.
        draw: draws its arguments.
    """

    name: str
    purpose: str
    source: str
    draw: Draw


def _numbers(rng: np.random.Generator) -> list[Any]:
    return [[int(n) for n in rng.integers(-9, 10, size=int(rng.integers(1, 8)))]]


def _numbers_and_one(rng: np.random.Generator) -> list[Any]:
    return [*_numbers(rng), int(rng.integers(-5, 6))]


def _number(rng: np.random.Generator) -> list[Any]:
    return [int(rng.integers(1, 40))]


def _two(rng: np.random.Generator) -> list[Any]:
    return [int(n) for n in rng.integers(1, 30, size=2)]


def _text(rng: np.random.Generator) -> list[Any]:
    letters = rng.choice(list("abcAB eiou"), size=int(rng.integers(1, 12)))
    return ["".join(map(str, letters))]


PIECES: tuple[Piece, ...] = (
    Piece(
        "count_above",
        "how many of the numbers are greater than the limit",
        "def count_above(numbers, limit):\n    count = 0\n    for number in numbers:\n"
        "        if number > limit:\n            count += 1\n    return count\n",
        _numbers_and_one,
    ),
    Piece(
        "largest_gap",
        "the largest difference between two neighbours in the list, 0 for fewer than two",
        "def largest_gap(numbers):\n    best = 0\n    for i in range(len(numbers) - 1):\n"
        "        gap = abs(numbers[i + 1] - numbers[i])\n        if gap > best:\n"
        "            best = gap\n    return best\n",
        _numbers,
    ),
    Piece(
        "sum_of_divisors",
        "the sum of the divisors of n that are less than n",
        "def sum_of_divisors(n):\n    total = 0\n    for d in range(1, n):\n"
        "        if n % d == 0:\n            total = total + d\n    return total\n",
        _number,
    ),
    Piece(
        "is_prime",
        "whether n is a prime number",
        "def is_prime(n):\n    if n < 2:\n        return False\n    for d in range(2, n):\n"
        "        if n % d == 0:\n            return False\n    return True\n",
        _number,
    ),
    Piece(
        "running_sums",
        "the list of the sums of the first one, two, three and so on numbers",
        "def running_sums(numbers):\n    sums = []\n    total = 0\n    for number in numbers:\n"
        "        total = total + number\n        sums.append(total)\n    return sums\n",
        _numbers,
    ),
    Piece(
        "greatest_common_divisor",
        "the greatest whole number that divides both a and b",
        "def greatest_common_divisor(a, b):\n    best = 1\n"
        "    for d in range(1, min(a, b) + 1):\n        if a % d == 0 and b % d == 0:\n"
        "            best = d\n    return best\n",
        _two,
    ),
    Piece(
        "count_vowels",
        "how many letters of the text are one of a, e, i, o, u, whatever their case",
        "def count_vowels(text):\n    count = 0\n    for letter in text.lower():\n"
        "        if letter in 'aeiou':\n            count = count + 1\n    return count\n",
        _text,
    ),
    Piece(
        "every_second",
        "the list of the numbers at the odd places: the second, the fourth and so on",
        "def every_second(numbers):\n    found = []\n    for i in range(len(numbers)):\n"
        "        if i % 2 == 1:\n            found.append(numbers[i])\n    return found\n",
        _numbers,
    ),
    Piece(
        "fibonacci",
        "the n-th Fibonacci number, where the first and the second are 1",
        "def fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n - 1):\n"
        "        a, b = b, a + b\n    return b\n",
        _number,
    ),
    Piece(
        "is_sorted",
        "whether no number is less than the one before it",
        "def is_sorted(numbers):\n    for i in range(1, len(numbers)):\n"
        "        if numbers[i] < numbers[i - 1]:\n            return False\n    return True\n",
        _numbers,
    ),
)
