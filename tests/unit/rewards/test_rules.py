"""Rewards that look at length, repetition and agreement: hand-computed values, and what holds for all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from palestra.envs import Score
from palestra.plugins.registry import Kind, get_registry
from palestra.rewards.base import Scored
from palestra.rewards.shaping import OverlongConfig
from palestra_reward_models.repetition import repeated_share

TEXT = st.text(st.sampled_from("ab 你好.\n"), max_size=60)


def item(completion: str = "", **about) -> Scored:
    return Scored(messages=[], completion=completion, language=None, env_id="", task_id="", **about)


def scores(name: str, batch: Sequence[Scored], **options) -> list[Score]:
    registry = get_registry()
    config = registry.config(Kind.REWARD_MODEL, name)
    return registry.load(Kind.REWARD_MODEL, name)(config(**options)).score(batch)


def values(name: str, batch: Sequence[Scored], **options) -> list[float]:
    return [score.value for score in scores(name, batch, **options)]


# -- length -------------------------------------------------------------------------------------


def test_length_pays_by_the_distance_to_its_target():
    batch = [item(tokens=n) for n in (0, 25, 50, 75, 100, 1000)]
    assert values("length", batch, target=50) == [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    assert values("length", [item("你好")], target=4, unit="characters") == [0.5]


@pytest.mark.parametrize("name", ["length", "overlong"])
def test_tokens_that_nobody_counted_are_no_length_of_zero(name: str):
    options = {"target": 5} if name == "length" else {"max_length": 8, "buffer": 2}
    (score,) = scores(name, [item("abc")], **options)
    assert not score.status.is_valid
    assert score.reason == "nobody counted the completion's tokens"


@pytest.mark.parametrize(
    ("tokens", "value"),
    [(0, 0.0), (16_384, 0.0), (17_408, -0.25), (18_432, -0.5), (20_480, -1.0), (99_999, -1.0)],
)
def test_overlong_is_dapos(tokens: int, value: float):
    """RECIPE: |o| = 18,432 -> -.5 with Lmax 20,480 and Lc 4,096."""
    options = {"max_length": 20_480, "buffer": 4_096}
    assert values("overlong", [item(tokens=tokens)], **options) == [value]


@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 2000), st.integers(0, 2000))
def test_a_longer_completion_never_costs_less(a: int, b: int, m: int, n: int):
    config = OverlongConfig(max_length=max(a, b), buffer=min(a, b))
    short, long = sorted((m, n))
    assert 0 <= config.cost(short) <= config.cost(long) <= 1
    assert config.cost(config.max_length) == 1
    assert config.cost(config.max_length - config.buffer) == 0


def test_a_buffer_longer_than_the_length_is_refused():
    with pytest.raises(ValidationError, match="`buffer` should be at most `max_length`, 4"):
        OverlongConfig(max_length=4, buffer=5)


# -- repetition ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ngram", "share"),
    [
        ("a b c d", 2, 0.0),
        ("a b a b", 2, 1 / 3),  # ab, ba, ab
        ("wait wait wait wait", 1, 3 / 4),
        ("Wait wait", 1, 1 / 2),
        ("你好你好", 2, 1 / 3),
        ("<think>a b</think><answer>a b</answer>", 2, 1 / 3),
        ("x" * 64, 1, 3 / 4),  # four pieces of sixteen
        ("!!!!", 2, 2 / 3),
        ("a b", 4, 0.0),
        ("", 1, 0.0),
    ],
)
def test_repetition_counts_ngrams_that_come_again(text: str, ngram: int, share: float):
    assert repeated_share(text, ngram) == pytest.approx(share)
    assert values("repetition", [item(text)], ngram=ngram) == [pytest.approx(-share)]


@given(TEXT, st.integers(1, 5))
def test_repetition_is_a_share_and_saying_all_again_never_lowers_it(text: str, ngram: int):
    once, twice = repeated_share(text, ngram), repeated_share(f"{text} {text}", ngram)
    assert 0 <= once < 1
    assert twice >= once - 1e-12


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=40), st.integers(1, 5))
def test_words_that_all_differ_repeat_nothing(numbers: list[int], ngram: int):
    assert repeated_share(" ".join(map(str, numbers)), ngram) == 0


# -- self-consistency ---------------------------------------------------------------------------


def group(*answers: str | None, number: int | None = 0) -> list[Scored]:
    return [item(extracted=answer, group=number) for answer in answers]


def test_the_majority_of_the_group_is_paid():
    batch = [*group("7", " 7", "8", None), *group("8", "8", "7", number=1)]
    assert values("self_consistency", batch) == [1, 1, 0, 0, 1, 1, 0]
    assert values("self_consistency", batch, pays="share") == [
        0.5, 0.5, 0.25, 0.0, *([pytest.approx(2 / 3)] * 2), pytest.approx(1 / 3)
    ]  # fmt: skip


def test_answers_that_are_equally_common_share_the_point():
    assert values("self_consistency", group("7", "7", "8", "8", "9")) == [0.5, 0.5, 0.5, 0.5, 0.0]


def test_no_answer_is_a_wrong_one_and_no_group_is_no_verdict():
    (score,) = scores("self_consistency", group(None))
    assert score.status.is_valid
    assert score.value == 0
    (score,) = scores("self_consistency", group("7", number=None))
    assert not score.status.is_valid


@given(st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=12), st.randoms())
def test_who_stands_where_in_a_group_does_not_matter(answers: list[str | None], random):
    for pays in ("majority", "share"):
        before = values("self_consistency", group(*answers), pays=pays)
        order = list(range(len(answers)))
        random.shuffle(order)
        after = values("self_consistency", group(*(answers[i] for i in order)), pays=pays)
        assert after == [before[i] for i in order]
        assert all(0 <= value <= 1 for value in before)
        said = {a: v for a, v in zip(answers, before, strict=True) if a is not None}
        if pays == "majority" and said:
            assert sum(said.values()) == pytest.approx(1)
