"""Reading measures back from ``results.json``, and averaging them over environments.

What is read may be half a run or an older one, so nothing here raises: what is missing is None.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TypeAlias, cast

from palestra.evaluation.metrics import Measure

Json: TypeAlias = Mapping[str, object]
"""A JSON object that was read from a file."""


def record(value: object) -> Json:
    """Return `value` where it is an object, else an empty one."""
    return cast(Json, value) if isinstance(value, Mapping) else {}


def records(value: object) -> list[Json]:
    """Return the objects of a list; nothing where `value` is none."""
    if not isinstance(value, list | tuple):
        return []
    return [cast(Json, item) for item in cast("list[object]", value) if isinstance(item, Mapping)]


def number(value: object) -> float | None:
    """Return `value` where it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer of more than 308 digits
        return None


def measure(value: object) -> Measure | None:
    """Read a measure: ``{"value", "ci95", "n"}``, or a bare number (an interval of no width)."""
    bare = number(value)
    if bare is not None:
        return Measure(bare, (bare, bare), 1)
    entry = record(value)
    mean = number(entry.get("value"))
    if mean is None:
        return None
    bounds = entry.get("ci95")
    low = high = None
    if isinstance(bounds, list | tuple) and len(cast("list[object]", bounds)) == 2:
        low, high = (number(bound) for bound in cast("list[object]", bounds))
    count = number(entry.get("n"))
    interval = (mean if low is None else low, mean if high is None else high)
    return Measure(mean, interval, 1 if count is None else int(count))


def lookup(evals: object, key: str) -> Measure | None:
    """Read the measure `key` of one environment; ``cons@k/4`` means ``evals["cons@k"]["4"]``."""
    value: object = evals
    for part in key.split("/"):
        value = record(value).get(part)
    found = measure(value)
    return found if found is not None and found.n > 0 else None


def is_reasoning(env_id: str) -> bool:
    """Whether an environment counts as reasoning: all but those of the namespace ``general``."""
    return not env_id.startswith("general/")


def environments(evals: object, key: str) -> list[str]:
    """Return the reasoning environments of a stage's evals that have the measure `key`."""
    entry = record(evals)
    return [env for env in entry if is_reasoning(env) and lookup(entry[env], key) is not None]


def sample_counts(evals: object, key: str) -> list[int]:
    """Return the k's of ``pass@k`` or ``cons@k`` that any reasoning environment has, ascending."""
    entries = [
        record(record(entry).get(key)) for env, entry in record(evals).items() if is_reasoning(env)
    ]
    return sorted({int(k) for entry in entries for k in entry if k.isdecimal()})


def pooled(evals: object, key: str, envs: Collection[str] | None = None) -> Measure | None:
    """Average the measure `key` over a stage's reasoning environments, weighted by questions.

    Environments are independent, so variances add: each half of an interval is the root of the
    sum of the squared, weighted halves. The sides stay apart, so no bound leaves its range.

    Args:
        evals: a stage's ``evals``: environment id to measures.
        key: the measure, as in `lookup`.
        envs: average these alone, for a comparison on the same environments.
    """
    entry = record(evals)
    names = [env for env in environments(entry, key) if envs is None or env in envs]
    found = [m for m in (lookup(entry[env], key) for env in names) if m is not None]
    total = sum(m.n for m in found)
    if not found:
        return None
    value = math.fsum(m.value * m.n for m in found) / total
    below = math.hypot(*((m.value - m.ci95[0]) * m.n / total for m in found))
    above = math.hypot(*((m.ci95[1] - m.value) * m.n / total for m in found))
    return Measure(value, (value - below, value + above), total)


def difference(a: Measure, b: Measure) -> Measure:
    """Return `a` minus `b` as of independent measures: squared half-widths add, side by side."""
    value = a.value - b.value
    below = math.hypot(a.value - a.ci95[0], b.ci95[1] - b.value)
    above = math.hypot(a.ci95[1] - a.value, b.value - b.ci95[0])
    return Measure(value, (value - below, value + above), min(a.n, b.n))
