"""Whether a guess is right more often than chance: one exact test."""

from __future__ import annotations

from math import comb

SIGNIFICANCE = 0.001
"""A fixed guess may not beat chance at this level, over the whole panel of guesses."""

LEAST_CHANCE = 0.01
"""A declared chance under 1% is taken for 1%: the answers of drawn tasks repeat now and then."""


def at_least(hits: int, trials: int, chance: float) -> float:
    """Return the exact binomial probability of `hits` or more in `trials`."""
    if hits <= 0:
        return 1.0
    return sum(
        comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(hits, trials + 1)
    )


def beats_chance(shares: list[float], chance: float, comparisons: int) -> bool:
    """Whether a fixed answer earns more than chance explains.

    Shares of the reward are added up, so two halves are one hit: of all distributions on [0, 1]
    with one mean, all-or-nothing has the heaviest tail, so the test stays honest for partial
    credit.

    Args:
        shares: what the answer earned of each task, from 0 to 1.
        chance: the mean share that the environment grants a guess.
        comparisons: how many answers are tested in all (Bonferroni).
    """
    if not shares:
        return False
    hits = int(sum(shares) + 1e-9)
    p = at_least(hits, len(shares), min(1.0, max(chance, LEAST_CHANCE)))
    return p < SIGNIFICANCE / max(1, comparisons)
