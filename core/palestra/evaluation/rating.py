"""`rating`: the strength that solved problems of known ratings speak for, as Codeforces has it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from palestra.evaluation.metrics import Measure, Question
from palestra.seeding import rng

RESAMPLES = 500
MARGIN = 400.0
"""How far beyond the easiest and the hardest problem a rating may lie: solving all of them, or
none, says no more than that."""


def rating(questions: Sequence[Question]) -> Measure | None:
    """Return the rating at which the expected number of solved problems is the one observed.

    A contestant of rating R solves a problem of rating r with probability
    ``1 / (1 + 10 ** ((r - R) / 400))``; the maximum-likelihood R makes these sum to the solved
    ones. A problem counts with the share of its samples that solve it: one attempt each. The
    interval is a bootstrap over problems.

    Args:
        questions: their `difficulty` is the problem's rating; those without one are left out.
    """
    rated = [
        (float(q.difficulty), math.fsum(s.correct for s in q.valid) / len(q.valid))
        for q in questions
        if q.difficulty is not None and q.valid
    ]
    if not rated:
        return None
    of, solved = (np.asarray(column) for column in zip(*sorted(rated), strict=True))
    value = rating_of(of, solved)
    stream = rng(0, "bootstrap", "rating")
    drawn = stream.integers(0, len(of), size=(RESAMPLES, len(of)))
    low, high = np.quantile([rating_of(of[i], solved[i]) for i in drawn], (0.025, 0.975))
    return Measure(value, (min(value, float(low)), max(value, float(high))), len(of))


def rating_of(ratings: np.ndarray, solved: np.ndarray) -> float:
    """Return the rating at which ``sum(expected) = sum(solved)``, within the problems' range.

    Args:
        ratings: (n,) of the problems.
        solved: (n,) from 0 to 1.
    """
    low, high = float(ratings.min()) - MARGIN, float(ratings.max()) + MARGIN
    for _ in range(60):  # the sum grows with the rating, so halving finds it
        middle = (low + high) / 2
        expected = 1 / (1 + 10 ** ((ratings - middle) / 400))
        low, high = (middle, high) if expected.sum() < solved.sum() else (low, middle)
    return (low + high) / 2
