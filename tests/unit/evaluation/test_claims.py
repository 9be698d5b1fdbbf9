"""Every verdict of every claim, on numbers made by hand."""

from __future__ import annotations

import json

import pytest

from palestra.evaluation.claims import CLAIMS, judge_claims
from palestra.evaluation.metrics import Measure
from palestra.evaluation.pooling import difference, pooled


def m(value: float, half: float = 0.02, n: int = 150) -> dict[str, object]:
    return {"value": value, "ci95": [value - half, value + half], "n": n}


def stage(role: str, variant: str | None = None, env: str = "math/X-v1", **evals: object):
    keys = {"pass_1": "pass@1", "lenient": "lenient@1", "language": "language_consistency"}
    block = {keys.get(key, key): value for key, value in evals.items()}
    if "cons" in block:
        block["cons@k"] = {"4": block.pop("cons")}
    return {"name": f"s_{role}", "role": role, "variant": variant, "evals": {env: block}}


def played(part: str, **evals: object):
    """A stage of this role, or where there is no such role, an arm of this name."""
    arms = ("ppo", "grpo", "clip", "cap", "zero_", "few_", "sft_from", "dr_")
    return stage("ablation", part, **evals) if part.startswith(arms) else stage(part, **evals)


def verdict(claim: str, *stages: object, curves: object = None) -> str | None:
    judged = {c["id"]: c for c in judge_claims(list(stages), curves)}
    return str(judged[claim]["verdict"]) if claim in judged else None


YES, NO, MAYBE = "reproduced", "not reproduced", "inconclusive"


@pytest.mark.parametrize(
    ("strict", "lenient", "expected"),
    [
        (0.8, 0.8, YES),
        (0.8, 0.22, MAYBE),  # only the tags were learnt
        (0.22, 0.8, MAYBE),
        (0.8, 0.2, NO),  # equal counts as not
        (0.1, 0.8, NO),
    ],
)
def test_pure_rl_raises_accuracy(strict: float, lenient: float, expected: str):
    base = stage("base", pass_1=m(0.2), lenient=m(0.2))
    zero = stage("zero", pass_1=m(strict), lenient=m(lenient))
    assert verdict("pure_rl_raises_accuracy", base, zero) == expected


def test_pure_rl_without_lenient_is_inconclusive_at_most():
    base, zero = stage("base", pass_1=m(0.2)), stage("zero", pass_1=m(0.8))
    assert verdict("pure_rl_raises_accuracy", base, zero) == MAYBE


def rising(first: float, last: float, noise: float = 1.0) -> dict[str, list[dict[str, object]]]:
    lengths = [first + (last - first) * i / 59 + noise * (-1) ** i for i in range(60)]
    return {"s_zero": [{"step": i, "length": x} for i, x in enumerate(lengths)]}


@pytest.mark.parametrize(
    ("zero", "curves", "expected"),
    [
        (70, rising(40, 70), YES),
        (70, rising(70, 40), NO),
        (30, rising(40, 70), NO),
        (42, rising(40, 70), MAYBE),
        (70, rising(40, 41, 9.0), MAYBE),
        (70, {}, MAYBE),
        (70, {"s_zero": [{"length": float("nan")}] * 9}, MAYBE),
    ],
)
def test_length_grows(zero: float, curves: object, expected: str):
    stages = stage("base", mean_length=m(40, 2)), stage("zero", mean_length=m(zero, 2))
    assert verdict("length_grows", *stages, curves=curves) == expected


@pytest.mark.parametrize(("value", "expected"), [(0.6, YES), (0.94, MAYBE), (0.95, NO), (1.0, NO)])
def test_zero_mixes_languages(value: float, expected: str):
    assert verdict("zero_mixes_languages", stage("zero", language=m(value))) == expected


@pytest.mark.parametrize(("value", "expected"), [(0.75, YES), (0.62, MAYBE), (0.6, NO), (0.5, NO)])
def test_language_reward_cures_mixing(value: float, expected: str):
    treated = stage("ablation", "with_language_reward", language=m(value), pass_1=m(0.92))
    control = stage("ablation", "without_language_reward", language=m(0.6), pass_1=m(0.93))
    assert verdict("language_reward_cures_mixing", treated, control) == expected
    claim = judge_claims([treated, control])[0]
    cost = claim["measured"]["cost"]
    assert cost["value"] == pytest.approx(0.01)
    assert cost["ci95"] == pytest.approx([0.01 - 0.02 * 2**0.5, 0.01 + 0.02 * 2**0.5])


@pytest.mark.parametrize(("value", "expected"), [(0.9, YES), (0.82, MAYBE), (0.8, NO), (0.7, NO)])
def test_majority_vote_beats_single(value: float, expected: str):
    zero = stage("zero", pass_1=m(0.8), cons=m(value))
    assert verdict("majority_vote_beats_single", zero) == expected
    r1 = stage("r1", pass_1=m(0.8), cons=m(0.9))
    assert verdict("majority_vote_beats_single", zero, r1) == expected
    measured = judge_claims([zero, r1])[0]["measured"]
    assert {"cons@4 zero", "pass@1 zero", "cons@4 r1", "pass@1 r1"} <= set(measured)


def test_majority_vote_uses_the_paired_gain_where_there_is_one():
    zero = stage("zero", pass_1=m(0.8), cons=m(0.83))
    zero["evals"]["math/X-v1"]["cons_gain@k"] = {"4": m(0.03, 0.01)}
    assert verdict("majority_vote_beats_single", zero) == YES


@pytest.mark.parametrize(
    ("claim", "high", "low"),
    [
        ("distillation_beats_rl_on_student", "student_sft", "student_rl"),
        ("rl_after_sft_adds", "r1", "sft"),
        ("cold_start_costs_accuracy", "zero", "cold_start"),
        ("reasoning_rl_recovers", "reasoning_rl", "cold_start"),
        ("ppo_needs_lambda_1", "ppo_lambda_1", "ppo_lambda_0.95"),
        ("low_clip_hurts", "clip_10", "clip_0.2"),
        ("high_clip_is_unstable", "clip_10", "clip_100"),
        ("longer_cap_helps", "cap_raised", "cap_kept"),
    ],
)
@pytest.mark.parametrize(("value", "expected"), [(0.9, YES), (0.82, MAYBE), (0.8, NO), (0.7, NO)])
def test_comparisons(claim: str, high: str, low: str, value: float, expected: str):
    stages = played(high, pass_1=m(value)), played(low, pass_1=m(0.8))
    assert verdict(claim, *stages) == expected


@pytest.mark.parametrize(
    ("accuracy", "language", "expected"),
    [
        (0.9, 0.99, YES),
        (0.79, 0.99, YES),  # lower, but Zero's value lies within its interval
        (0.7, 0.99, NO),
        (0.9, 0.9, NO),
        (0.9, 0.96, MAYBE),
        (0.9, None, MAYBE),
    ],
)
def test_r1_at_least_zero(accuracy: float, language: float | None, expected: str):
    extra = {} if language is None else {"language": m(language)}
    stages = stage("zero", pass_1=m(0.8)), stage("r1", pass_1=m(accuracy), **extra)
    assert verdict("r1_at_least_zero", *stages) == expected


@pytest.mark.parametrize(
    ("claim", "claimed", "other"),
    [("grpo_matches_ppo", "grpo", "ppo_lambda_1"), ("sft_from_base", "sft", "sft_from_rl")],
)
@pytest.mark.parametrize(("value", "expected"), [(0.9, YES), (0.79, YES), (0.7, NO)])
def test_no_worse_than(claim: str, claimed: str, other: str, value: float, expected: str):
    stages = played(claimed, pass_1=m(value)), played(other, pass_1=m(0.8))
    assert verdict(claim, *stages) == expected


@pytest.mark.parametrize(
    ("format_", "language", "expected"),
    [(0.9, 0.9, YES), (0.9, 0.62, MAYBE), (0.9, 0.5, NO), (0.5, 0.9, NO)],
)
def test_cold_start_is_readable(format_: float, language: float, expected: str):
    zero = stage("zero", format=m(0.6), language=m(0.6))
    cold = stage("cold_start", format=m(format_), language=m(language))
    assert verdict("cold_start_is_readable", zero, cold) == expected


@pytest.mark.parametrize(("general", "expected"), [(0.9, YES), (0.65, MAYBE), (0.5, NO)])
def test_final_rl_lifts_general(general: float, expected: str):
    sft, r1 = stage("sft", pass_1=m(0.5)), stage("r1", pass_1=m(0.6))
    assert verdict("final_rl_lifts_general", sft, r1) is None  # nothing general was measured
    sft["evals"]["general/Y-v1"] = {"pass@1": m(0.5)}
    r1["evals"]["general/Y-v1"] = {"pass@1": m(general)}
    assert verdict("final_rl_lifts_general", sft, r1) == expected


@pytest.mark.parametrize(("with_", "expected"), [(0.8, YES), (0.76, MAYBE), (0.7, NO)])
def test_language_reward_costs_little(with_: float, expected: str):
    treated = stage("ablation", "with_language_reward", pass_1=m(with_))
    control = stage("ablation", "without_language_reward", pass_1=m(0.8))
    assert verdict("language_reward_costs_little", treated, control) == expected


@pytest.mark.parametrize(("last", "expected"), [(5.0, YES), (1.0, NO)])
@pytest.mark.parametrize(
    ("claim", "key", "part"),
    [("reflection_grows", "reflection", "zero"), ("length_is_no_artefact", "length", "dr_grpo")],
)
def test_what_grows_in_training(claim: str, key: str, part: str, last: float, expected: str):
    rows = [{key: 2 + (last - 2) * i / 59 + 0.1 * (-1) ** i} for i in range(60)]
    one = played(part)
    assert verdict(claim, one, curves={one["name"]: rows}) == expected
    assert verdict(claim, one) is None


@pytest.mark.parametrize(
    ("claim", "role", "key", "low", "high", "expected"),
    [
        ("easy_is_solved_first", "zero", "by_difficulty", 0.9, 0.3, YES),
        ("easy_is_solved_first", "zero", "by_difficulty", 0.3, 0.9, NO),
        ("harder_takes_longer", "r1", "length_by_difficulty", 20, 40, YES),
        ("harder_takes_longer", "r1", "length_by_difficulty", 40, 20, NO),
    ],
)
def test_levels(claim: str, role: str, key: str, low: float, high: float, expected: str):
    one = stage(role, pass_1=m(0.5))
    one["evals"]["math/X-v1"][key] = {"1": m(low), "2": m(0.1), "3": m(high)}
    one["evals"]["code/Y-v1"] = {key: {"1": m(0.0), "2": m(0.0)}}  # without the highest: left out
    assert verdict(claim, one) == expected
    one["evals"]["math/X-v1"][key] = {"1": m(low)}
    one["evals"].pop("code/Y-v1")
    assert verdict(claim, one) is None


@pytest.mark.parametrize(("student", "expected"), [(0.1, YES), (0.68, MAYBE), (0.9, NO)])
def test_small_bases_fail(student: float, expected: str):
    stages = [stage("base", pass_1=m(0.1)), stage("zero", pass_1=m(0.7))]
    stages += [stage("ablation", "student_base", pass_1=m(0.1))]
    stages += [stage("student_rl", pass_1=m(student))]
    assert verdict("small_bases_fail", *stages) == expected


@pytest.mark.parametrize(
    ("seconds", "size", "expected"), [(1.0, 4, YES), (2.1, 4, NO), (1.0, 8, NO)]
)
def test_grpo_costs_less(seconds: float, size: int, expected: str):
    grpo, ppo = played("grpo", pass_1=m(0.5)), played("ppo_lambda_1", pass_1=m(0.5))
    grpo |= {"name": "a", "facts": {"checkpoint_bytes": size}}
    ppo |= {"name": "b", "facts": {"checkpoint_bytes": 8}}
    curves = {
        name: [{"seconds/logprobs": 0.0, "seconds/backward": x + 0.01 * i} for i in range(9)]
        for name, x in (("a", seconds), ("b", 2.0))
    }
    assert verdict("grpo_costs_less", grpo, ppo, curves=curves) == expected
    assert verdict("grpo_costs_less", grpo, ppo) is None


@pytest.mark.parametrize(("few", "expected"), [(0.5, YES), (0.78, MAYBE), (0.9, NO)])
def test_few_shot_hurts(few: float, expected: str):
    env = "general/FewShot-v1"
    stages = played("zero_shot", env=env, pass_1=m(0.8)), played("few_shot", env=env, pass_1=m(few))
    assert verdict("few_shot_hurts", *stages) == expected


@pytest.mark.parametrize(
    ("score", "accuracy", "rules", "expected"),
    [
        (5.0, 0.3, 0.62, YES),
        (5.0, 0.58, 0.62, MAYBE),
        (5.0, 0.7, 0.62, NO),  # it was a good reward
        (0.5, 0.3, 0.62, NO),  # nothing was learnt from it
        (5.0, 0.3, 0.4, NO),  # accuracy falls under rules too
    ],
)
def test_neural_reward_is_hacked(score: float, accuracy: float, rules: float, expected: str):
    arm = stage("ablation", "neural_reward", pass_1=m(accuracy))
    rows = [{"reward": 1 + (score - 1) * i / 39 + 0.1 * (-1) ** i} for i in range(40)]
    stages = [stage("sft", pass_1=m(0.6)), stage("r1", pass_1=m(rules)), arm]
    assert verdict("neural_reward_is_hacked", *stages, curves={arm["name"]: rows}) == expected


def test_claims_whose_stages_did_not_run_are_left_out():
    assert judge_claims([]) == []
    assert judge_claims(None) == []
    assert judge_claims([stage("base", pass_1=m(0.2), lenient=m(0.2))]) == []
    unfinished = {"name": "zero", "role": "zero", "evals": {}}
    assert judge_claims([stage("base", pass_1=m(0.2)), unfinished]) == []
    odd = [{"role": "zero", "evals": {"math/X-v1": None, "general/Y-v1": 3}}, "no stage", None]
    assert judge_claims(odd) == []


def test_a_whole_run_is_judged_on_every_claim_in_json():
    numbers = dict(
        format=m(0.5),
        pass_1=m(0.5),
        lenient=m(0.5),
        language=m(0.6),
        mean_length=m(40),
        cons=m(0.6),
    )
    levels = {"1": m(0.5), "2": m(0.4)}
    roles = ("base", "zero", "cold_start", "reasoning_rl", "sft", "r1", "student_sft", "student_rl")
    arms = ("with_language_reward", "without_language_reward", "student_base", "grpo", "dr_grpo")
    arms += ("ppo_lambda_1", "ppo_lambda_0.95", "cap_raised", "cap_kept", "clip_0.2", "clip_10")
    arms += ("clip_100", "sft_from_rl", "zero_shot", "few_shot", "neural_reward")
    stages = [stage(role, **numbers) for role in roles]
    stages += [stage("ablation", arm, **numbers) for arm in arms]
    for one in stages:
        one["facts"] = {"checkpoint_bytes": 100}
        one["evals"]["math/X-v1"] |= {"by_difficulty": levels, "length_by_difficulty": levels}
        one["evals"] |= {env: {"pass@1": m(0.5)} for env in ("general/FewShot-v1", "general/Z-v1")}
    row = {
        "reward": 1.0,
        "length": 40.0,
        "reflection": 2.0,
        "seconds/logprobs": 0.1,
        "seconds/backward": 1.0,
    }
    curves = {str(one["name"]): [row] * 9 for one in stages}
    judged = judge_claims(stages, curves)
    assert [c["id"] for c in judged] == [c.id for c in CLAIMS]
    assert json.loads(json.dumps(judged, allow_nan=False)) == judged
    for claim in judged:
        assert set(claim) == {"id", "claim", "source", "measured", "verdict"}
        assert "\n" not in claim["measured"]["text"]


def test_pooling_weighs_by_questions_and_adds_variances():
    evals = {
        "math/X-v1": {"pass@1": m(0.2, 0.03, 100)},
        "logic/Y-v1": {"pass@1": m(0.8, 0.04, 300)},
        "general/Z-v1": {"pass@1": m(0.0, 0.5, 1000)},
    }
    value = pooled(evals, "pass@1")
    assert value is not None
    assert value.value == pytest.approx(0.65)
    assert value.n == 400
    half = ((0.03 * 0.25) ** 2 + (0.04 * 0.75) ** 2) ** 0.5
    assert value.ci95 == pytest.approx((0.65 - half, 0.65 + half))


def test_stages_are_compared_on_the_environments_both_have():
    base = stage("base", pass_1=m(0.2), lenient=m(0.2))
    zero = stage("zero", pass_1=m(0.2), lenient=m(0.2))
    zero["evals"]["logic/Easy-v1"] = {"pass@1": m(1.0), "lenient@1": m(1.0)}
    assert verdict("pure_rl_raises_accuracy", base, zero) == NO


def test_difference_keeps_the_sides_apart():
    value = difference(Measure(0.9, (0.8, 0.95), 10), Measure(0.5, (0.5, 0.5), 10))
    assert value.ci95 == pytest.approx((0.3, 0.45))
