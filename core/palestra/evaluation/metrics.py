"""Metrics of an evaluation, each with a 95% interval over questions.

The unit of resampling is the question: its samples are not independent of one another, so an
interval over samples would be too narrow. Intervals are percentile bootstraps with 2,000 resamples,
a function of the numbers alone (a fixed, named stream), whatever the order of the questions.

Where resampling cannot vary, because every question has the same value, the bootstrap would give
an interval of no width. A proportion then takes the Clopper-Pearson bound of n questions at 0 or 1
(``1 - 0.025 ** (1 / n)``), and Wilson's interval in between; a length keeps no width.

Samples whose grader failed are left out, never counted wrong, and their number is reported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from palestra.evaluation.voting import expected_best, expected_majority
from palestra.seeding import rng

RESAMPLES = 2_000
_ENTRIES_AT_ONCE = 4_000_000  # resampled values held in memory together: 32 MB
_Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One graded completion of a question.

    Attributes:
        correct: accuracy by the strict grader, 0 to 1.
        lenient: accuracy of the last answer anywhere; None where no grader reads it.
        answer: the extracted answer, normalised so that equal answers are equal strings.
        length: number of policy tokens.
        format: 1 where the completion keeps the format, else 0.
        language: share of the thought's words in the target language; None without one.
        truncated: whether a limit ended the completion.
        valid: False where the grader failed; such a sample says nothing.
    """

    correct: float
    lenient: float | None
    answer: str | None
    length: int
    format: float
    language: float | None
    truncated: bool
    valid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of an evaluation with its samples, and the greedy answer where one was made."""

    task_id: str
    prompt_hash: str
    difficulty: int | None
    language: str | None
    samples: tuple[Sample, ...]
    greedy: Sample | None

    @property
    def valid(self) -> tuple[Sample, ...]:
        """The samples whose grader spoke."""
        return tuple(sample for sample in self.samples if sample.valid)


@dataclass(frozen=True, slots=True)
class Measure:
    """A number with its 95% interval, over `n` questions; NaN where there were none."""

    value: float
    ci95: tuple[float, float]
    n: int

    def as_dict(self) -> dict[str, object]:
        """Return the form of ``results.json``; what is not finite becomes null."""
        low, high = self.ci95
        return {"value": _finite(self.value), "ci95": [_finite(low), _finite(high)], "n": self.n}


def pass_at_1(questions: Sequence[Question]) -> Measure:
    """Mean accuracy of a sample, by the strict grader."""
    return _measure("pass@1", _means(questions, lambda s: s.correct))


def lenient_at_1(questions: Sequence[Question]) -> Measure:
    """Mean accuracy of a sample, reading the last answer anywhere in it."""
    return _measure("lenient@1", _means(questions, lambda s: s.lenient))


def pass_at_k(questions: Sequence[Question], k: int) -> Measure:
    """Unbiased chance that the best of `k` samples is right (Chen et al. 2021).

    With n samples of which c are correct this is ``1 - C(n-c, k) / C(n, k)``. Questions with fewer
    than `k` valid samples are left out.
    """
    _check_k(k)
    values = [
        expected_best([s.correct for s in q.valid], k) for q in questions if len(q.valid) >= k
    ]
    return _measure(f"pass@{k}", values)


def cons_at_k(questions: Sequence[Question], k: int) -> Measure:
    """Accuracy of the majority vote of `k` samples (the paper's cons@64), see `expected_majority`.

    Where a question has more than `k` valid samples, the mean over all choices of `k` of them, so
    cons@1 is pass@1; questions with fewer are left out.
    """
    _check_k(k)
    return _measure(f"cons@{k}", _majorities(questions, k))


def majority_gain(questions: Sequence[Question], k: int) -> Measure:
    """cons@k minus pass@1 on the same questions: a paired interval, far narrower than the two."""
    _check_k(k)
    kept = [q for q in questions if len(q.valid) >= k]
    singles = _means(kept, lambda s: s.correct)
    gains = [vote - one for vote, one in zip(_majorities(kept, k), singles, strict=True)]
    return _difference(f"cons@{k} - pass@1", gains)


def greedy_accuracy(questions: Sequence[Question]) -> Measure:
    """Accuracy of the greedy completion."""
    greedy = [q.greedy for q in questions if q.greedy is not None and q.greedy.valid]
    return _measure("greedy", [sample.correct for sample in greedy])


def mean_length(questions: Sequence[Question]) -> Measure:
    """Mean number of policy tokens of a sample."""
    values = _means(questions, lambda s: float(s.length))
    return _measure("mean_length", values, proportion=False)


def format_share(questions: Sequence[Question]) -> Measure:
    """Share of the samples that keep the format."""
    return _measure("format", _means(questions, lambda s: s.format))


def language_consistency(questions: Sequence[Question]) -> Measure:
    """Mean share of a thought's words that are in the target language."""
    return _measure("language_consistency", _means(questions, lambda s: s.language))


def truncated_share(questions: Sequence[Question]) -> Measure:
    """Share of the samples that a limit cut short."""
    return _measure("truncated", _means(questions, lambda s: float(s.truncated)))


def invalid_share(questions: Sequence[Question]) -> Measure:
    """Share of the samples, of all there are, whose grader failed."""
    values = [
        math.fsum(not s.valid for s in q.samples) / len(q.samples) for q in questions if q.samples
    ]
    return _measure("invalid", values)


def mean_share(name: str, values: Sequence[float]) -> Measure:
    """Mean of one share a question, for measures that are no completion's.

    Args:
        name: of the measure: its stream of resamples.
        values: one for each question, 0 to 1.
    """
    return _measure(name, values)


def paired_difference(a: Sequence[Question], b: Sequence[Question]) -> Measure:
    """pass@1 of `a` minus that of `b` on the questions both answered.

    Questions are matched by task id and prompt hash; resampling draws pairs, so the spread between
    questions cancels. Where every difference is the same, the interval is the difference plus and
    minus the Clopper-Pearson bound of n questions.
    """
    other = {(q.task_id, q.prompt_hash): q for q in b}
    pairs = [(q, other[q.task_id, q.prompt_hash]) for q in a if (q.task_id, q.prompt_hash) in other]
    pairs = [(x, y) for x, y in pairs if x.valid and y.valid]
    left = _means([x for x, _ in pairs], lambda s: s.correct)
    right = _means([y for _, y in pairs], lambda s: s.correct)
    return _difference("paired", [x - y for x, y in zip(left, right, strict=True)])


def summarize(questions: Sequence[Question], ks: Sequence[int] = (4,)) -> dict[str, object]:
    """Return the ``evals`` block of one environment in ``results.json``.

    A measure that no question supports is left out: ``lenient@1`` without a lenient grader, a `k`
    above the number of samples. ``truncated`` and ``invalid`` count samples, greedy ones included.
    """
    singles = {
        "pass@1": pass_at_1(questions),
        "lenient@1": lenient_at_1(questions),
        "greedy": greedy_accuracy(questions),
        "mean_length": mean_length(questions),
        "format": format_share(questions),
        "language_consistency": language_consistency(questions),
    }
    summary: dict[str, object] = {name: m.as_dict() for name, m in singles.items() if m.n}
    summary["pass@k"] = _by_name({str(k): pass_at_k(questions, k) for k in ks})
    summary["cons@k"] = _by_name({str(k): cons_at_k(questions, k) for k in ks})
    samples = [s for q in questions for s in (*q.samples, *((q.greedy,) if q.greedy else ()))]
    summary["truncated"] = sum(s.truncated for s in samples)
    summary["invalid"] = sum(not s.valid for s in samples)
    levels = sorted({q.difficulty for q in questions if q.difficulty is not None})
    by_level = {str(x): [q for q in questions if q.difficulty == x] for x in levels}
    summary["by_difficulty"] = _by_name({x: pass_at_1(qs) for x, qs in by_level.items()})
    summary["length_by_difficulty"] = _by_name({x: mean_length(qs) for x, qs in by_level.items()})
    return summary


def _by_name(measures: dict[str, Measure]) -> dict[str, object]:
    return {name: measure.as_dict() for name, measure in measures.items() if measure.n}


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _means(questions: Sequence[Question], read: Callable[[Sample], float | None]) -> list[float]:
    """Return the mean of `read` over each question's valid samples, without the Nones."""
    means: list[float] = []
    for question in questions:
        values = [v for v in map(read, question.valid) if v is not None]
        if values:
            means.append(math.fsum(values) / len(values))
    return means


def _majorities(questions: Sequence[Question], k: int) -> list[float]:
    return [
        expected_majority([(s.answer, s.correct) for s in q.valid], k)
        for q in questions
        if len(q.valid) >= k
    ]


def mean_measure(name: str, values: Sequence[float]) -> Measure:
    """Return the mean of a share for each question, with its interval from the stream `name`."""
    return _measure(name, values)


def _measure(name: str, values: Sequence[float], *, proportion: bool = True) -> Measure:
    """Return the mean of one value a question, with its interval."""
    if not values:
        return Measure(math.nan, (math.nan, math.nan), 0)
    mean = math.fsum(values) / len(values)
    if max(values) > min(values):
        low, high = _bootstrap(name, values)
    else:
        mean = values[0]
        low, high = _proportion_bounds(mean, len(values)) if proportion else (mean, mean)
    return Measure(mean, (min(low, mean), max(high, mean)), len(values))


def _difference(name: str, values: Sequence[float]) -> Measure:
    """Like `_measure` for differences of proportions, which lie between -1 and 1."""
    measure = _measure(name, values, proportion=False)
    if not values or max(values) > min(values):
        return measure
    margin = 1 - 0.025 ** (1 / len(values))
    low, high = max(-1.0, measure.value - margin), min(1.0, measure.value + margin)
    return Measure(measure.value, (low, high), measure.n)


def _bootstrap(name: str, values: Sequence[float]) -> tuple[float, float]:
    """Return the 2.5% and 97.5% points of the means of resampled questions."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))  # the order of questions must not count
    stream = rng(0, "bootstrap", name)
    at_once = max(1, _ENTRIES_AT_ONCE // len(ordered))
    means: list[np.ndarray] = []
    for start in range(0, RESAMPLES, at_once):
        rows = min(at_once, RESAMPLES - start)
        drawn = stream.integers(0, len(ordered), size=(rows, len(ordered)))
        means.append(ordered[drawn].mean(axis=1))
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return float(low), float(high)


def _proportion_bounds(value: float, n: int) -> tuple[float, float]:
    """Return the interval of n questions that all have the same `value`."""
    if value <= 0.0:
        return value, 1 - 0.025 ** (1 / n)
    if value >= 1.0:
        return 0.025 ** (1 / n), value
    centre = (value + _Z95**2 / (2 * n)) / (1 + _Z95**2 / n)
    spread = math.sqrt(value * (1 - value) / n + (_Z95 / (2 * n)) ** 2)
    half = _Z95 * spread / (1 + _Z95**2 / n)
    return centre - half, centre + half
