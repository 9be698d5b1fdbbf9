"""Metrics against golden values, brute force and simulation."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palestra.evaluation import metrics, voting
from palestra.evaluation.metrics import Measure, Question, Sample


def sample(correct: float = 1.0, answer: str | None = "7", **fields: object) -> Sample:
    base = dict(
        correct=correct,
        lenient=correct,
        answer=answer,
        length=10,
        format=1.0,
        language=1.0,
        truncated=False,
        valid=True,
    )
    return Sample(**{**base, **fields})  # type: ignore[arg-type]


def question(name: object, *samples: Sample, **fields: object) -> Question:
    base = dict(
        task_id=str(name),
        prompt_hash=f"h{name}",
        difficulty=1,
        language="en",
        samples=samples,
        greedy=None,
    )
    return Question(**{**base, **fields})  # type: ignore[arg-type]


def scored(*rows: list[float]) -> list[Question]:
    return [
        question(i, *(sample(c, "7" if c else None) for c in row)) for i, row in enumerate(rows)
    ]


# --- golden values ---------------------------------------------------------------------------


def test_pass_at_k_golden():
    assert metrics.pass_at_k(scored([1, 0, 0, 0]), 2).value == pytest.approx(0.5)


def test_pass_at_1_is_the_mean_over_questions_not_samples():
    value = metrics.pass_at_1(scored([1, 1, 1, 1], [0]))
    assert value.value == 0.5
    assert value.n == 2


@pytest.mark.parametrize(
    ("votes", "k", "value"),
    [
        ([("a", 1), ("a", 1), ("b", 0)], 3, 1.0),
        ([("a", 0), ("a", 0), ("b", 1)], 3, 0.0),
        ([("a", 1), ("b", 0)], 2, 0.5),  # a tie is shared
        ([("a", 1), ("b", 0), ("c", 0), (None, 0)], 4, 1 / 3),
        ([("a", 1), (None, 0), (None, 0), (None, 0)], 4, 1.0),  # None never votes
        ([(None, 0)] * 4, 4, 0.0),
        ([("a", 1), ("a", 0), ("b", 0)], 3, 0.5),  # the correctness of the samples that gave it
        ([("a", 1), ("a", 1), ("b", 0)], 2, (1 + 0.5 + 0.5) / 3),  # over all choices of two
    ],
)
def test_cons_at_k_golden(votes: list[tuple[str | None, float]], k: int, value: float):
    got = metrics.cons_at_k([question(0, *(sample(c, a) for a, c in votes))], k)
    assert got.value == pytest.approx(value)


def test_invalid_samples_are_left_out_and_counted():
    broken = sample(0.0, valid=False)
    questions = [question(0, sample(1.0), broken), question(1, broken, broken)]
    assert metrics.pass_at_1(questions) == Measure(1.0, pytest.approx((0.025, 1.0)), 1)
    assert metrics.invalid_share(questions).value == 0.75
    assert metrics.pass_at_k(questions, 2).n == 0
    assert metrics.summarize(questions)["invalid"] == 3


def test_paired_difference_is_narrower_than_two_intervals():
    rows = [[float(i % 2)] * 4 for i in range(60)]
    better = [[1.0, *row[1:]] for row in rows]
    value = metrics.paired_difference(scored(*better), scored(*rows))
    assert value.value == pytest.approx(0.125)
    assert value.n == 60
    assert value.ci95[0] > 0
    unpaired = metrics.pass_at_1(scored(*rows))
    assert value.ci95[1] - value.ci95[0] < unpaired.ci95[1] - unpaired.ci95[0]


def test_paired_difference_uses_shared_questions_only():
    a, b = scored([1, 1], [1, 0], [0, 0]), scored([1, 1], [0, 0])
    assert metrics.paired_difference(a, b).n == 2
    assert metrics.paired_difference(a, []).n == 0


def test_equal_runs_differ_by_nought_with_an_interval():
    rows = scored(*([[1, 0]] * 30))
    value = metrics.paired_difference(rows, rows)
    assert value.value == 0
    assert value.ci95 == pytest.approx((-0.116, 0.116), abs=1e-3)


def test_majority_gain_is_paired():
    questions = scored(*([[1, 1, 1, 0]] * 20), *([[1, 1, 0, 1]] * 20))
    gain = metrics.majority_gain(questions, 4)
    assert gain.value == pytest.approx(0.25)


# --- intervals -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_edges_get_clopper_pearson(value: float):
    low, high = metrics.pass_at_1(scored(*([[value]] * 150))).ci95
    width = 1 - 0.025 ** (1 / 150)
    assert (low, high) == pytest.approx((0, width) if value == 0 else (1 - width, 1))


def test_equal_questions_inside_get_wilson():
    low, high = metrics.pass_at_1(scored(*([[1, 0]] * 100))).ci95
    assert (low, high) == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_no_questions_is_not_a_number_and_json_null():
    nothing = metrics.pass_at_1([])
    assert math.isnan(nothing.value)
    assert nothing.as_dict() == {"value": None, "ci95": [None, None], "n": 0}


def test_interval_covers_the_truth_about_95_times_in_100():
    """Questions of mixed difficulty, 4 samples each: an interval over samples covers far less."""
    draw = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        chance = draw.beta(0.5, 0.5, size=80)
        values = draw.binomial(4, chance) / 4
        low, high = metrics._measure("coverage", list(values)).ci95
        hits += low <= 0.5 <= high
    assert 0.90 <= hits / 200 <= 0.99


def test_intervals_are_the_same_every_time():
    rows = scored([1, 0], [0, 0], [1, 1], [0, 1])
    assert metrics.summarize(rows, (1, 2)) == metrics.summarize(rows, (1, 2))


# --- properties ------------------------------------------------------------------------------

outcomes = st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=12).map(
    lambda rows: scored(*[[float(x) for x in row] for row in rows])
)


@settings(max_examples=25, deadline=None)
@given(outcomes)
def test_pass_at_k_grows_with_k_from_pass_at_1(questions: list[Question]):
    values = [metrics.pass_at_k(questions, k).value for k in range(1, 6)]
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(values))
    assert values[0] == pytest.approx(metrics.pass_at_1(questions).value)
    assert metrics.cons_at_k(questions, 1).value == pytest.approx(values[0])


@settings(max_examples=25, deadline=None)
@given(outcomes, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_the_interval_holds_the_value(
    questions: list[Question], shuffler: random.Random
):
    shuffled = list(questions)
    shuffler.shuffle(shuffled)
    assert metrics.summarize(shuffled) == metrics.summarize(questions)
    for value in (metrics.pass_at_1(questions), metrics.mean_length(questions)):
        assert value.ci95[0] <= value.value <= value.ci95[1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7), st.data())
def test_pass_at_k_is_the_mean_over_all_subsets(values: list[float], data: st.DataObject):
    k = data.draw(st.integers(1, len(values)))
    subsets = [max(chosen) for chosen in itertools.combinations(values, k)]
    got = voting.expected_best(values, k)
    assert got == pytest.approx(sum(subsets) / len(subsets))


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from([0.0, 1.0])),
        min_size=1,
        max_size=7,
    ),
    st.data(),
)
def test_cons_at_k_is_the_mean_over_all_subsets(
    votes: list[tuple[str | None, float]], data: st.DataObject
):
    k = data.draw(st.integers(1, len(votes)))

    def vote(chosen: tuple[tuple[str | None, float], ...]) -> float:
        counts = Counter(answer for answer, _ in chosen if answer is not None)
        if not counts:
            return 0.0
        top = max(counts.values())
        means = []
        for answer in (a for a, n in counts.items() if n == top):
            # the answer's correctness among all samples: equal to the chosen ones' on average
            right = [c for a, c in votes if a == answer]
            means.append(sum(right) / len(right))
        return sum(means) / len(means)

    subsets = [vote(chosen) for chosen in itertools.combinations(votes, k)]
    got = voting.expected_majority(votes, k)
    assert got == pytest.approx(sum(subsets) / len(subsets))


# --- the block of results.json ---------------------------------------------------------------


def test_summarize_has_the_keys_of_results_json():
    rows = [
        question(0, *[sample(1.0)] * 4, greedy=sample(1.0), difficulty=1),
        question(1, *[sample(0.0, truncated=True)] * 4, greedy=sample(0.0), difficulty=2),
    ]
    block = metrics.summarize(rows)
    assert set(block) == {
        "pass@1", "lenient@1", "pass@k", "cons@k", "greedy", "mean_length", "format",
        "language_consistency", "truncated", "invalid", "by_difficulty", "length_by_difficulty",
    }  # fmt: skip
    assert json.loads(json.dumps(block, allow_nan=False)) == block
    assert block["truncated"] == 4
    assert set(block["by_difficulty"]) == {"1", "2"} == set(block["length_by_difficulty"])
    assert set(block["pass@k"]) == {"4"} == set(block["cons@k"])


def test_summarize_leaves_out_what_was_not_measured():
    row = question(0, sample(lenient=None, language=None), difficulty=None)
    block = metrics.summarize([row])
    assert "lenient@1" not in block
    assert "language_consistency" not in block
    assert "greedy" not in block
    assert block["pass@k"] == {} == block["by_difficulty"]


def test_k_below_one_is_an_error():
    with pytest.raises(ValueError, match="at least 1"):
        metrics.pass_at_k(scored([1]), 0)
