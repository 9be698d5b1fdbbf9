"""Claims about how a policy behaves: reflection, hard and easy questions, and its size."""

from __future__ import annotations

from palestra.evaluation.claims.evidence import (
    Claim,
    Evidence,
    Finding,
    compare,
    ends,
    same_ground,
    show,
)
from palestra.evaluation.metrics import Measure
from palestra.evaluation.pooling import (
    Json,
    difference,
    environments,
    pooled,
    record,
)


def _reflection_grows(run: Evidence) -> Finding | None:
    zero = run.role("zero")
    found = ends(run.curve(zero), "reflection") if zero else None
    if found is None:
        return None
    first, last = found
    return Finding(
        verdict=compare(last, first),
        text=f"{show(first, 2)} such words in 1,000 tokens at first, {show(last, 2)} at last",
        numbers={"reflection first steps": first, "reflection last steps": last},
    )


def _easy_is_solved_first(run: Evidence) -> Finding | None:
    zero = run.role("zero")
    found = _by_level(zero, "by_difficulty") if zero else None
    if found is None:
        return None
    easy, hard = found
    return Finding(
        verdict=compare(easy, hard),
        text=f"pass@1 of R1-Zero {show(easy)} on the easiest level, {show(hard)} on the hardest",
        numbers={"easiest": easy, "hardest": hard},
    )


def _harder_takes_longer(run: Evidence) -> Finding | None:
    r1 = run.role("r1")
    found = _by_level(r1, "length_by_difficulty") if r1 else None
    if found is None:
        return None
    easy, hard = found
    return Finding(
        verdict=compare(hard, easy),
        text=f"{show(easy, 1)} tokens of R1 on the easiest level, {show(hard, 1)} on the hardest",
        numbers={"tokens easiest": easy, "tokens hardest": hard},
    )


def _by_level(stage: Json, key: str) -> tuple[Measure, Measure] | None:
    """Return a measure on the lowest and the highest level, of the environments that have both."""
    evals = record(stage.get("evals"))
    levels = sorted({int(x) for block in evals.values() for x in record(record(block).get(key))})
    if len(levels) < 2:
        return None
    low, high = (f"{key}/{level}" for level in (levels[0], levels[-1]))
    shared = set(environments(evals, low)) & set(environments(evals, high))
    found = pooled(evals, low, shared), pooled(evals, high, shared)
    return (found[0], found[1]) if found[0] is not None and found[1] is not None else None


def _small_bases_fail(run: Evidence) -> Finding | None:
    large, small = run.pair("zero", "base"), run.role("student_rl")
    small_base = run.role("ablation", "student_base")
    if large is None or small is None or small_base is None:
        return None
    pairs = same_ground(*large, "pass@1"), same_ground(small, small_base, "pass@1")
    if pairs[0] is None or pairs[1] is None:
        return None
    more, less = difference(*pairs[0]), difference(*pairs[1])
    return Finding(
        verdict=compare(more, less),
        text=f"RL adds {show(more)} of pass@1 to the base, {show(less)} to the small one",
        numbers={"gain base": more, "gain small base": less},
    )


BEHAVIOUR_CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="reflection_grows",
        claim="Words of reflection (wait, but, check…) become more frequent during RL",
        source="Figure 9: 5 to 7 times as many",
        judge=_reflection_grows,
    ),
    Claim(
        id="easy_is_solved_first",
        claim="Easy levels are solved first, the hardest stay behind",
        source="Figure 8: level 5 of MATH from .55 to .90, the others near 1",
        judge=_easy_is_solved_first,
    ),
    Claim(
        id="harder_takes_longer",
        claim="Harder problems get more tokens",
        source="Figure 18: below 100 tokens for 1+1, above 18,000 for the hardest",
        judge=_harder_takes_longer,
    ),
    Claim(
        id="small_bases_fail",
        claim="RL alone does little for a base that is too small",
        source="Section G.1: a 7B dense and a 16B MoE base did not improve",
        judge=_small_bases_fail,
    ),
)
