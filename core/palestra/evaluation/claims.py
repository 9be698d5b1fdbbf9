"""The paper's claims, judged by code from measured numbers.

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
    difference,
    environments,
    number,
    pooled,
    record,
    records,
    sample_counts,
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

    def pair(self, first: str, second: str) -> tuple[Json, Json] | None:
        """Return the stages of two roles, or None where one did not run."""
        a, b = self.role(first), self.role(second)
        return (a, b) if a is not None and b is not None else None


def judge_claims(
    stages: object, curves: Mapping[str, Sequence[Json]] | None = None
) -> list[dict[str, object]]:
    """Judge every claim whose stages ran.

    Args:
        stages: the list ``stages`` of ``results.json``.
        curves: the rows of each stage's ``metrics.jsonl``, by stage name.

    Returns:
        The list ``claims`` of ``results.json``: id, claim, source, measured and verdict.
        ``measured`` holds one line under ``text`` and each number with its interval.
    """
    evidence = Evidence(stages=records(stages), curves=curves or {})
    judged: list[dict[str, object]] = []
    for claim in CLAIMS:
        finding = claim.judge(evidence)
        if finding is not None:
            measured: dict[str, object] = {"text": finding.text}
            measured |= {name: value.as_dict() for name, value in finding.numbers.items()}
            judged.append(
                {
                    "id": claim.id,
                    "claim": claim.claim,
                    "source": claim.source,
                    "measured": measured,
                    "verdict": str(finding.verdict),
                }
            )
    return judged


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


def _same_ground(a: Json, b: Json, key: str) -> tuple[Measure, Measure] | None:
    """Pool the measure `key` of two stages over the environments that both have it for."""
    shared = set(environments(a.get("evals"), key)) & set(environments(b.get("evals"), key))
    left, right = pooled(a.get("evals"), key, shared), pooled(b.get("evals"), key, shared)
    return (left, right) if left is not None and right is not None else None


def _higher(winner: Json, loser: Json, keys: Sequence[str]) -> Finding | None:
    """Judge that `winner` is above `loser` in each of `keys`; None where the first is missing."""
    numbers: dict[str, Measure] = {}
    lines: list[str] = []
    verdicts: list[Verdict] = []
    names = _label(winner), _label(loser)
    for key in keys:
        pair = _same_ground(winner, loser, key)
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


def _label(stage: Json) -> str:
    return str(stage.get("variant") or stage.get("role"))


def show(value: Measure, digits: int = 3) -> str:
    """Return a measure as one would write it: ``0.231 [0.192, 0.270]``."""
    low, high = value.ci95
    return f"{value.value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _pure_rl_raises_accuracy(run: Evidence) -> Finding | None:
    found = run.pair("zero", "base")
    return _higher(*found, ("pass@1", "lenient@1")) if found else None


def _length_grows(run: Evidence) -> Finding | None:
    found = run.pair("zero", "base")
    pair = _same_ground(*found, "mean_length") if found else None
    if not found or pair is None:
        return None
    numbers = {"mean_length zero": pair[0], "mean_length base": pair[1]}
    text = f"answers of {show(pair[0], 1)} tokens against the base's {show(pair[1], 1)}"
    ends = _ends(run.curves.get(str(found[0].get("name")), ()), "length")
    if ends is None:
        verdict = combine(compare(*pair), Verdict.INCONCLUSIVE)
        return Finding(verdict=verdict, text=f"{text}; no training curve", numbers=numbers)
    first, last = ends
    numbers |= {"length first steps": first, "length last steps": last}
    text += f"; in training {show(first, 1)} at first, {show(last, 1)} at last"
    return Finding(
        verdict=combine(compare(*pair), compare(last, first)), text=text, numbers=numbers
    )


def _ends(rows: Sequence[Json], key: str) -> tuple[Measure, Measure] | None:
    """Return the means of the first 10% and the last 20% of a curve, at least two rows each.

    Their intervals are ``1.96 sd / sqrt(rows)``; rows of one run are not independent, so they say
    how much a curve jitters, not what another seed would give. ``n`` counts rows here.
    """
    values = [value for value in (number(row.get(key)) for row in rows) if value is not None]
    if len(values) < 4:
        return None
    head = values[: max(2, round(0.1 * len(values)))]
    tail = values[-max(2, round(0.2 * len(values))) :]
    return _mean(head), _mean(tail)


def _mean(values: Sequence[float]) -> Measure:
    mean = statistics.fmean(values)
    half = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
    return Measure(mean, (mean - half, mean + half), len(values))


def _zero_mixes_languages(run: Evidence) -> Finding | None:
    zero = run.role("zero")
    value = pooled(zero.get("evals"), "language_consistency") if zero else None
    if value is None:
        return None
    return Finding(
        verdict=compare(Measure(CONSISTENT, (CONSISTENT, CONSISTENT), value.n), value),
        text=f"{show(value)} of the words are in the question's language; mixed below {CONSISTENT}",
        numbers={"language_consistency zero": value},
    )


def _language_reward_cures_mixing(run: Evidence) -> Finding | None:
    treated = run.role("ablation", "with_language_reward")
    control = run.role("ablation", "without_language_reward")
    if treated is None or control is None:
        return None
    finding = _higher(treated, control, ("language_consistency",))
    accuracy = _same_ground(control, treated, "pass@1")
    if finding is None or accuracy is None:
        return finding
    cost = difference(*accuracy)
    return Finding(
        verdict=finding.verdict,
        text=f"{finding.text}; it costs {show(cost)} of pass@1",
        numbers={**finding.numbers, "cost": cost},
    )


def _majority_vote_beats_single(run: Evidence) -> Finding | None:
    verdicts: list[Verdict] = []
    lines: list[str] = []
    numbers: dict[str, Measure] = {}
    for role in ("zero", "r1"):
        evals = (run.role(role) or {}).get("evals")
        counts = sample_counts(evals, "cons@k")
        vote, gain = (
            pooled(evals, f"{key}/{max(counts, default=0)}") for key in ("cons@k", "cons_gain@k")
        )
        single = pooled(evals, "pass@1", environments(evals, f"cons@k/{max(counts, default=0)}"))
        if vote is None or single is None:
            continue
        name = f"cons@{counts[-1]}"
        numbers |= {f"{name} {role}": vote, f"pass@1 {role}": single}
        lines.append(f"{role}: {name} {show(vote)}, pass@1 {show(single)}")
        if gain is None:
            verdicts.append(compare(vote, single))
        else:  # the same questions: their paired difference says more than two intervals
            numbers[f"gain {role}"] = gain
            lines[-1] += f", gain {show(gain)}"
            verdicts.append(compare(gain, Measure(0.0, (0.0, 0.0), gain.n)))
    if not verdicts:
        return None
    return Finding(verdict=combine(*verdicts), text="; ".join(lines), numbers=numbers)


def _distillation_beats_rl_on_student(run: Evidence) -> Finding | None:
    found = run.pair("student_sft", "student_rl")
    return _higher(*found, ("pass@1",)) if found else None


def _rl_after_sft_adds(run: Evidence) -> Finding | None:
    found = run.pair("r1", "sft")
    return _higher(*found, ("pass@1",)) if found else None


def _r1_at_least_zero(run: Evidence) -> Finding | None:
    """R1's interval must reach Zero's value, and its consistency's lower bound must be enough."""
    found = run.pair("r1", "zero")
    pair = _same_ground(*found, "pass@1") if found else None
    if not found or pair is None:
        return None
    r1, zero = pair
    numbers = {"pass@1 r1": r1, "pass@1 zero": zero}
    verdicts = [Verdict.REPRODUCED if r1.ci95[1] >= zero.value else Verdict.NOT_REPRODUCED]
    text = f"pass@1 {show(r1)} r1, {show(zero)} zero"
    language = pooled(found[0].get("evals"), "language_consistency")
    if language is None:
        verdicts.append(Verdict.INCONCLUSIVE)
        text += "; language consistency was not measured"
    else:
        numbers["language_consistency r1"] = language
        text += f"; language consistency {show(language)}"
        if language.value < CONSISTENT:
            verdicts.append(Verdict.NOT_REPRODUCED)
        elif language.ci95[0] < CONSISTENT:
            verdicts.append(Verdict.INCONCLUSIVE)
    return Finding(verdict=combine(*verdicts), text=text, numbers=numbers)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="pure_rl_raises_accuracy",
        claim="Pure reinforcement learning, without any SFT, raises accuracy",
        source="Figure 1a: AIME 2024 15.6 to 77.9",
        judge=_pure_rl_raises_accuracy,
    ),
    Claim(
        id="length_grows",
        claim="Responses grow longer during RL by themselves",
        source="Figure 1b",
        judge=_length_grows,
    ),
    Claim(
        id="zero_mixes_languages",
        claim="R1-Zero mixes languages in its thoughts",
        source="Section 3 and Figure 7",
        judge=_zero_mixes_languages,
    ),
    Claim(
        id="language_reward_cures_mixing",
        claim="The language-consistency reward cures the mixing",
        source="Figure 7: consistency held, mathematics equal, code slightly lower",
        judge=_language_reward_cures_mixing,
    ),
    Claim(
        id="majority_vote_beats_single",
        claim="A majority vote beats single samples",
        source="Section E.4: R1-Zero 77.9 to 86.7, R1 79.8 to 86.7 with 64 votes",
        judge=_majority_vote_beats_single,
    ),
    Claim(
        id="distillation_beats_rl_on_student",
        claim="Distillation beats RL alone on the small student",
        source="Section F.1, Table 16: 72.6 against 47.0",
        judge=_distillation_beats_rl_on_student,
    ),
    Claim(
        id="rl_after_sft_adds",
        claim="RL after SFT adds to SFT",
        source="Table 3, Dev3 to R1: AIME 2024 78.1 to 79.8",
        judge=_rl_after_sft_adds,
    ),
    Claim(
        id="r1_at_least_zero",
        claim="R1 is at least as accurate as R1-Zero, in one language",
        source="Table 3: AIME 2024 77.9 and 79.8",
        judge=_r1_at_least_zero,
    ),
)
