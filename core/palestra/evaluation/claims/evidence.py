"""How a claim is judged: the evidence of a run, and one rule for verdicts.

A claim compares stages by their roles in the recipe, on the reasoning environments that both were
evaluated on (see `pooling`). Its verdict follows from 95% intervals, by one rule:

- ``reproduced``: the interval lies wholly on the claim's side;
- ``not reproduced``: the value does not even point that way (equal counts as not);
- ``inconclusive``: it points the right way, but the intervals overlap or a number is missing.

A claim with several parts is reproduced if all are, and not reproduced if any is not. Claims whose
stages did not run are left out. Sources are sections of DeepSeek-R1, arXiv 2501.12948v2.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from palestra.evaluation.metrics import Measure
from palestra.evaluation.pooling import (
    Json,
    environments,
    number,
    pooled,
    record,
)

CONSISTENT = 0.95
"""The language consistency from which a model is said not to mix languages."""


class Verdict(StrEnum):
    """What a run says about a claim."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was measured for a claim."""

    verdict: Verdict
    text: str
    numbers: dict[str, Measure] = field(default_factory=dict[str, Measure])


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim of the paper, where it stands there, and how a run is asked about it."""

    id: str
    claim: str
    source: str
    judge: Callable[[Evidence], Finding | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A run's stages and their training curves."""

    stages: Sequence[Json]
    curves: Mapping[str, Sequence[Json]]

    def role(self, role: str, variant: str | None = None) -> Json | None:
        """Return the last evaluated stage of a role (and a variant, among ablations)."""
        for stage in reversed(self.stages):
            fits = variant is None or stage.get("variant") == variant
            if fits and stage.get("role") == role and record(stage.get("evals")):
                return stage
        return None

    def arms(self, *variants: str) -> list[Json] | None:
        """Return the ablations of these variants, or None where one of them did not run."""
        found = [self.role("ablation", variant) for variant in variants]
        there = [stage for stage in found if stage is not None]
        return there if len(there) == len(variants) else None

    def curve(self, stage: Json) -> Sequence[Json]:
        """Return the rows of a stage's training."""
        return self.curves.get(str(stage.get("name")), ())

    def pair(self, first: str, second: str) -> tuple[Json, Json] | None:
        """Return the stages of two roles, or None where one did not run."""
        a, b = self.role(first), self.role(second)
        return (a, b) if a is not None and b is not None else None


def compare(high: Measure, low: Measure) -> Verdict:
    """Say whether `high` is above `low`: by disjoint intervals, not at all, or perhaps."""
    if high.value <= low.value:
        return Verdict.NOT_REPRODUCED
    return Verdict.REPRODUCED if high.ci95[0] > low.ci95[1] else Verdict.INCONCLUSIVE


def combine(*verdicts: Verdict) -> Verdict:
    """Return the verdict of a claim with several parts."""
    if Verdict.NOT_REPRODUCED in verdicts:
        return Verdict.NOT_REPRODUCED
    return Verdict.INCONCLUSIVE if Verdict.INCONCLUSIVE in verdicts else Verdict.REPRODUCED


def at_least(claimed: Measure, other: Measure) -> Verdict:
    """Say whether `claimed` is no worse than `other`: its interval reaches the other's value."""
    holds = claimed.ci95[1] >= other.value
    return Verdict.REPRODUCED if holds else Verdict.NOT_REPRODUCED


def same_ground(a: Json, b: Json, key: str) -> tuple[Measure, Measure] | None:
    """Pool the measure `key` of two stages over the environments that both have it for."""
    shared = set(environments(a.get("evals"), key)) & set(environments(b.get("evals"), key))
    left, right = pooled(a.get("evals"), key, shared), pooled(b.get("evals"), key, shared)
    return (left, right) if left is not None and right is not None else None


def higher(winner: Json, loser: Json, keys: Sequence[str]) -> Finding | None:
    """Judge that `winner` is above `loser` in each of `keys`; None where the first is missing."""
    numbers: dict[str, Measure] = {}
    lines: list[str] = []
    verdicts: list[Verdict] = []
    names = label(winner), label(loser)
    for key in keys:
        pair = same_ground(winner, loser, key)
        if pair is None:
            if key == keys[0]:
                return None
            verdicts.append(Verdict.INCONCLUSIVE)
            lines.append(f"{key} was not measured")
            continue
        numbers |= {f"{key} {name}": value for name, value in zip(names, pair, strict=True)}
        verdicts.append(compare(*pair))
        lines.append(f"{key} {show(pair[0])} {names[0]}, {show(pair[1])} {names[1]}")
    return Finding(verdict=combine(*verdicts), text="; ".join(lines), numbers=numbers)


def label(stage: Json) -> str:
    """Return what a stage is called in a finding."""
    return str(stage.get("variant") or stage.get("role"))


def show(value: Measure, digits: int = 3) -> str:
    """Return a measure as one would write it: ``0.231 [0.192, 0.270]``."""
    low, high = value.ci95
    return f"{value.value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def ends(rows: Sequence[Json], key: str) -> tuple[Measure, Measure] | None:
    """Return the means of the first 10% and the last 20% of a curve, at least two rows each.

    Their intervals are ``1.96 sd / sqrt(rows)``; rows of one run are not independent, so they say
    how much a curve jitters, not what another seed would give. ``n`` counts rows here.
    """
    values = [value for value in (number(row.get(key)) for row in rows) if value is not None]
    if len(values) < 4:
        return None
    head = values[: max(2, round(0.1 * len(values)))]
    tail = values[-max(2, round(0.2 * len(values))) :]
    return mean_of(head), mean_of(tail)


def mean_of(values: Sequence[float]) -> Measure:
    """Return the mean of at least two values, with ``1.96 sd / sqrt(n)`` about it."""
    mean = statistics.fmean(values)
    half = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
    return Measure(mean, (mean - half, mean + half), len(values))
