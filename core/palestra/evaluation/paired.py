"""Two evaluations on the same questions: the difference, paired by question.

Resampling draws questions, and takes both runs' results on each, so that what makes a question hard
for both cancels. Environments are fixed: the pooled difference resamples within each of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from palestra.evaluation.answered import PROPORTIONS, Answered
from palestra.evaluation.metrics import Measure
from palestra.evaluation.pooling import is_reasoning
from palestra.seeding import rng

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 10_000
_ENTRIES_AT_ONCE = 4_000_000  # resampled values held in memory together: 32 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """How two runs differ on the questions that both answered.

    Attributes:
        env: label of the environment, or ``pooled``: all reasoning environments together, each
            question counted once.
        first: the first run's mean.
        second: the second run's.
        difference: `second` minus `first`, with the 95% percentile interval of the bootstrap.
        p: two-sided, by inverting that interval: twice the smaller share of resampled differences
            on either side of 0, those at 0 counted on both; never below 2 / (resamples + 1).
            Where resampling cannot vary, because all differences are equal, the sign test's.
    """

    env: str
    first: float
    second: float
    difference: Measure
    p: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as ``palestra compare --json`` prints it."""
        return {
            "env": self.env,
            "first": self.first,
            "second": self.second,
            "difference": self.difference.as_dict(),
            "p": self.p,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """Two evaluations, matched by question.

    Attributes:
        shared: questions in both.
        only_first: questions that the second lacks.
        only_second: questions that the first lacks.
        without: shared questions for which a run has no value of the metric.
        rows: one for each environment, and one ``pooled`` where several are reasoning.
    """

    shared: int
    only_first: int
    only_second: int
    without: int
    rows: tuple[Paired, ...]


def compare_answers(
    first: Sequence[Answered],
    second: Sequence[Answered],
    metric: str = "pass@1",
    resamples: int = RESAMPLES,
) -> Pairing:
    """Compare two evaluations by `metric`, on the questions that both answered.

    Questions are the same where environment, task id and prompt hash are.
    """
    others = {question.key: question for question in second}
    pairs = [(one, others[one.key]) for one in first if one.key in others]
    values: dict[str, list[tuple[float, float]]] = {}
    for one, other in pairs:
        if metric in one.means and metric in other.means:
            values.setdefault(one.env, []).append((one.means[metric], other.means[metric]))
    is_proportion = metric in PROPORTIONS
    rows = [_paired(env, {env: found}, is_proportion, resamples) for env, found in values.items()]
    reasoning = {env: found for env, found in values.items() if is_reasoning(env)}
    if len(reasoning) > 1:
        rows.append(_paired("pooled", reasoning, is_proportion, resamples))
    return Pairing(
        shared=len(pairs),
        only_first=len(first) - len(pairs),
        only_second=len(second) - len(pairs),
        without=len(pairs) - sum(map(len, values.values())),
        rows=tuple(rows),
    )


def _paired(
    label: str, values: dict[str, list[tuple[float, float]]], is_proportion: bool, resamples: int
) -> Paired:
    every = [pair for found in values.values() for pair in found]
    count = len(every)
    means = [math.fsum(pair[side] for pair in every) / count for side in (0, 1)]
    changes = {env: [b - a for a, b in sorted(found)] for env, found in values.items()}
    value = math.fsum(change for own in changes.values() for change in own) / count
    drawn = np.zeros(resamples)
    for env, own in changes.items():
        drawn += _resampled(env, own, resamples) * (len(own) / count)
    low, high = (float(bound) for bound in np.quantile(drawn, (0.025, 0.975)))
    p = _p(drawn)
    if all(len(set(own)) == 1 for own in changes.values()):  # resampling cannot vary
        p = _sign_test([change for own in changes.values() for change in own])
        if is_proportion:  # Clopper-Pearson's bound of n equal outcomes
            margin = 1 - 0.025 ** (1 / count)
            low, high = max(-1.0, value - margin), min(1.0, value + margin)
    interval = (min(low, value), max(high, value))
    return Paired(
        env=label,
        first=means[0],
        second=means[1],
        difference=Measure(value, interval, count),
        p=p,
    )


def _resampled(env: str, values: Sequence[float], resamples: int) -> NDArray[np.float64]:
    """Return (resamples,) means of as many values as there are, drawn with replacement."""
    pool = np.asarray(values, dtype=np.float64)
    stream = rng(0, "paired bootstrap", env)
    rows = max(1, _ENTRIES_AT_ONCE // len(pool))
    parts = [
        pool[stream.integers(0, len(pool), size=(min(rows, resamples - start), len(pool)))].mean(1)
        for start in range(0, resamples, rows)
    ]
    return np.concatenate(parts)


def _p(drawn: NDArray[np.float64]) -> float:
    tiny = 1e-12  # sums of the same fractions in another order
    below, above = int((drawn <= tiny).sum()), int((drawn >= -tiny).sum())
    return min(1.0, 2 * (1 + min(below, above)) / (len(drawn) + 1))


def _sign_test(changes: Sequence[float]) -> float:
    """Return the exact two-sided p of the signs being a fair coin's; equal values are left out."""
    up, down = sum(c > 0 for c in changes), sum(c < 0 for c in changes)
    count = up + down
    return min(1.0, 2 * sum(math.comb(count, i) for i in range(min(up, down) + 1)) / 2**count)
