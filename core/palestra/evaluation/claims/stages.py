"""Claims about the stages of the recipe: what each of them adds, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping

from palestra.evaluation.claims.evidence import (
    CONSISTENT,
    Claim,
    Evidence,
    Finding,
    Verdict,
    combine,
    compare,
    ends,
    higher,
    same_ground,
    show,
)
from palestra.evaluation.metrics import Measure
from palestra.evaluation.pooling import (
    difference,
    environments,
    is_reasoning,
    pooled,
    record,
    sample_counts,
)

LITTLE = 0.05
"""The loss of accuracy up to which something is said to cost little."""


def _pure_rl_raises_accuracy(run: Evidence) -> Finding | None:
    found = run.pair("zero", "base")
    return higher(*found, ("pass@1", "lenient@1")) if found else None


def _length_grows(run: Evidence) -> Finding | None:
    found = run.pair("zero", "base")
    pair = same_ground(*found, "mean_length") if found else None
    if not found or pair is None:
        return None
    numbers = {"mean_length zero": pair[0], "mean_length base": pair[1]}
    text = f"answers of {show(pair[0], 1)} tokens against the base's {show(pair[1], 1)}"
    curve = ends(run.curve(found[0]), "length")
    if curve is None:
        verdict = combine(compare(*pair), Verdict.INCONCLUSIVE)
        return Finding(verdict=verdict, text=f"{text}; no training curve", numbers=numbers)
    first, last = curve
    numbers |= {"length first steps": first, "length last steps": last}
    text += f"; in training {show(first, 1)} at first, {show(last, 1)} at last"
    return Finding(
        verdict=combine(compare(*pair), compare(last, first)), text=text, numbers=numbers
    )


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
    finding = higher(treated, control, ("language_consistency",))
    accuracy = same_ground(control, treated, "pass@1")
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
    return higher(*found, ("pass@1",)) if found else None


def _rl_after_sft_adds(run: Evidence) -> Finding | None:
    found = run.pair("r1", "sft")
    return higher(*found, ("pass@1",)) if found else None


def _r1_at_least_zero(run: Evidence) -> Finding | None:
    """R1's interval must reach Zero's value, and its consistency's lower bound must be enough."""
    found = run.pair("r1", "zero")
    pair = same_ground(*found, "pass@1") if found else None
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


def _cold_start_is_readable(run: Evidence) -> Finding | None:
    found = run.pair("cold_start", "zero")
    return higher(*found, ("format", "language_consistency")) if found else None


def _cold_start_costs_accuracy(run: Evidence) -> Finding | None:
    found = run.pair("zero", "cold_start")
    return higher(*found, ("pass@1",)) if found else None


def _reasoning_rl_recovers(run: Evidence) -> Finding | None:
    found = run.pair("reasoning_rl", "cold_start")
    return higher(*found, ("pass@1",)) if found else None


def _final_rl_lifts_general(run: Evidence) -> Finding | None:
    """The gain on the general environments against the gain on the reasoning ones."""
    found = run.pair("r1", "sft")
    if found is None:
        return None
    ground = same_ground(*found, "pass@1")
    general = [pooled(_as_reasoning(stage.get("evals")), "pass@1") for stage in found]
    if ground is None or general[0] is None or general[1] is None:
        return None
    wide, narrow = difference(general[0], general[1]), difference(*ground)
    return Finding(
        verdict=compare(wide, narrow),
        text=f"pass@1 gains {show(wide)} on general tasks, {show(narrow)} on reasoning",
        numbers={"gain general": wide, "gain reasoning": narrow},
    )


def _as_reasoning(evals: object) -> Mapping[str, object]:
    """Return the general environments' evals under names that `pooled` does not leave out."""
    return {f"of {env}": block for env, block in record(evals).items() if not is_reasoning(env)}


def _language_reward_costs_little(run: Evidence) -> Finding | None:
    treated = run.role("ablation", "with_language_reward")
    control = run.role("ablation", "without_language_reward")
    pair = same_ground(control, treated, "pass@1") if control and treated else None
    if pair is None:
        return None
    cost = difference(*pair)
    bound = Measure(LITTLE, (LITTLE, LITTLE), cost.n)
    return Finding(
        verdict=compare(bound, cost),
        text=f"it costs {show(cost)} of pass@1; little is below {LITTLE}",
        numbers={"cost": cost},
    )


STAGE_CLAIMS: tuple[Claim, ...] = (
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
    Claim(
        id="cold_start_is_readable",
        claim="The cold start makes answers readable: the format, and one language",
        source="Section 3 and Table 3, R1-Zero and Dev1: IF-Eval 46.6 to 71.7",
        judge=_cold_start_is_readable,
    ),
    Claim(
        id="cold_start_costs_accuracy",
        claim="The cold start costs reasoning accuracy",
        source="Table 3, R1-Zero and Dev1: AIME 2024 77.9 to 59.0",
        judge=_cold_start_costs_accuracy,
    ),
    Claim(
        id="reasoning_rl_recovers",
        claim="Reasoning RL wins back what the cold start lost",
        source="Table 3, Dev1 to Dev2: AIME 2024 59.0 to 74.0",
        judge=_reasoning_rl_recovers,
    ),
    Claim(
        id="final_rl_lifts_general",
        claim="The final RL lifts general answers more than reasoning",
        source="Table 3, Dev3 to R1: AlpacaEval 62.1 to 87.6, AIME 2024 78.1 to 79.8",
        judge=_final_rl_lifts_general,
    ),
    Claim(
        id="language_reward_costs_little",
        claim="The language-consistency reward costs little accuracy",
        source="Figure 7: mathematics equal, code slightly lower",
        judge=_language_reward_costs_little,
    ),
)
