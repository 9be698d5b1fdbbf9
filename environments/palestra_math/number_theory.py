"""`math/NumberTheory-v1`: divisors, remainders, powers and congruences."""

from __future__ import annotations

import math

import numpy as np

from palestra.envs import Task
from palestra_math.answering import AnswerEnv


class NumberTheoryEnv(AnswerEnv):
    """Levels: 1 greatest common divisor; 2 least common multiple; 3 a power's remainder; 4 the sum
    of the divisors, or Euler's totient; 5 two congruences (Chinese remainder theorem)."""

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        kinds = (_divisor, _multiple, _remainder, _divisors, _congruences)
        prompt, value, numbers = kinds[difficulty - 1](rng)
        return Task(
            prompt=prompt, reference=str(value), metadata={"numbers": numbers}, language="en"
        )


Drawn = tuple[str, int, list[int]]


def _divisor(rng: np.random.Generator) -> Drawn:
    common = int(rng.integers(2, 150))
    a, b = (common * int(n) for n in rng.integers(2, 60, size=2))
    return f"Find the greatest common divisor of {a} and {b}.", math.gcd(a, b), [a, b]


def _multiple(rng: np.random.Generator) -> Drawn:
    common = int(rng.integers(2, 20))
    a, b = (common * int(n) for n in rng.integers(2, 60, size=2))
    return f"Find the least common multiple of {a} and {b}.", math.lcm(a, b), [a, b]


def _remainder(rng: np.random.Generator) -> Drawn:
    base, modulus = int(rng.integers(2, 100)), int(rng.integers(101, 1000))
    power = int(rng.integers(10, 200))
    prompt = f"Find the remainder when {base}^{{{power}}} is divided by {modulus}."
    return prompt, pow(base, power, modulus), [base, power, modulus]


def _divisors(rng: np.random.Generator) -> Drawn:
    n = int(rng.integers(50, 5000))
    factors = factorise(n)
    if rng.random() < 0.5:
        value = math.prod((p ** (k + 1) - 1) // (p - 1) for p, k in factors.items())
        return f"Find the sum of all positive divisors of {n}.", value, [n]
    value = math.prod(p ** (k - 1) * (p - 1) for p, k in factors.items())
    return f"How many positive integers up to {n} are coprime to {n}?", value, [n]


def _congruences(rng: np.random.Generator) -> Drawn:
    while True:
        m, n = (int(k) for k in rng.integers(7, 60, size=2))
        if math.gcd(m, n) == 1:
            break
    a, b = int(rng.integers(m)), int(rng.integers(n))
    value = (a * n * pow(n, -1, m) + b * m * pow(m, -1, n)) % (m * n)
    prompt = (
        f"Find the smallest non-negative integer that leaves remainder {a} when divided by {m} "
        f"and remainder {b} when divided by {n}."
    )
    return prompt, value, [a, m, b, n]


def factorise(n: int) -> dict[int, int]:
    """Return the prime factors of `n` with their powers, by trial division."""
    found: dict[int, int] = {}
    p = 2
    while p * p <= n:
        while n % p == 0:
            found[p] = found.get(p, 0) + 1
            n //= p
        p += 1
    if n > 1:
        found[n] = found.get(n, 0) + 1
    return found
