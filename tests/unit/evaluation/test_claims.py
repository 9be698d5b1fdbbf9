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
    ],
)
@pytest.mark.parametrize(("value", "expected"), [(0.9, YES), (0.82, MAYBE), (0.8, NO), (0.7, NO)])
def test_comparisons(claim: str, high: str, low: str, value: float, expected: str):
    stages = stage(high, pass_1=m(value)), stage(low, pass_1=m(0.8))
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


def test_claims_whose_stages_did_not_run_are_left_out():
    assert judge_claims([]) == []
    assert judge_claims(None) == []
    assert judge_claims([stage("base", pass_1=m(0.2), lenient=m(0.2))]) == []
    unfinished = {"name": "zero", "role": "zero", "evals": {}}
    assert judge_claims([stage("base", pass_1=m(0.2)), unfinished]) == []
    odd = [{"role": "zero", "evals": {"math/X-v1": None, "general/Y-v1": 3}}, "no stage", None]
    assert judge_claims(odd) == []


def test_a_whole_run_is_judged_on_every_claim_in_json():
    everything = dict(
        pass_1=m(0.5), lenient=m(0.5), language=m(0.6), mean_length=m(40), cons=m(0.6)
    )
    roles = ("base", "zero", "sft", "r1", "student_sft", "student_rl")
    stages = [stage(role, **everything) for role in roles]
    stages += [stage("ablation", f"{w}_language_reward", **everything) for w in ("with", "without")]
    judged = judge_claims(stages)
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
