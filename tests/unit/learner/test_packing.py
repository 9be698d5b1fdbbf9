"""Packing: every sequence exactly once, within the budget, dealt evenly."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palestra.envs import Status
from palestra.learner.packing import deal, micro_batches, pack, pack_examples
from palestra.rollout.trajectory import Group, Trajectory

LENGTHS = st.lists(st.integers(1, 60), max_size=80)


def trajectory(
    mask: str, rewards: tuple[tuple[int, float], ...] = (), start: int = 0, **fields: object
) -> Trajectory:
    """Return a trajectory whose mask is written as ``..xxx``."""
    own = np.array([c == "x" for c in mask])
    size = len(mask)
    base: dict[str, object] = dict(
        env_id="a/B-v1",
        task_id="t",
        prompt_hash="h",
        messages=[],
        language=None,
        difficulty=None,
        token_ids=np.arange(start, start + size),
        loss_mask=own,
        sampler_logprobs=np.where(own, -np.arange(size, dtype=np.float32), 0).astype(np.float32),
        versions=np.where(own, 3, -1).astype(np.int32),
        rewards=rewards,
        components={},
        status=Status.OK,
        reason="",
        extracted=None,
        stop_reason="stop",
        text="",
    )
    return Trajectory(**{**base, **fields})  # type: ignore[arg-type]


@given(LENGTHS, st.integers(1, 300))
def test_every_sequence_is_in_exactly_one_micro_batch(lengths: list[int], budget: int):
    dealt = [i for micro in micro_batches(lengths, budget) for i in micro]
    assert sorted(dealt) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 300))
def test_a_micro_batch_keeps_the_budget_padding_included(lengths: list[int], budget: int):
    for micro in micro_batches(lengths, budget):
        assert micro
        assert len(micro) * max(lengths[i] for i in micro) <= budget or len(micro) == 1


@given(LENGTHS, st.integers(60, 300))
def test_micro_batches_are_few(lengths: list[int], budget: int):
    """No two neighbours could be one: the dealing is greedy, not wasteful."""
    dealt = micro_batches(lengths, budget)
    for left, right in itertools.pairwise(dealt):
        assert (len(left) + 1) * lengths[left[0]] > budget
        assert min(lengths[i] for i in left) >= max(lengths[i] for i in right)


@given(LENGTHS, st.integers(1, 9))
def test_every_sequence_is_dealt_to_exactly_one_process(lengths: list[int], ranks: int):
    hands = deal(lengths, ranks)
    assert len(hands) == ranks
    assert sorted(i for hand in hands for i in hand) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 9))
def test_the_deal_is_balanced(lengths: list[int], ranks: int):
    hands = deal(lengths, ranks)
    counts = [len(h) for h in hands]
    tokens = [sum(lengths[i] for i in h) for h in hands]
    assert max(counts) - min(counts) <= 1
    # Dealing back and forth by length leaves no two hands further apart than one sequence.
    assert max(tokens) - min(tokens) <= max(lengths, default=0)


def test_nothing_makes_no_micro_batch():
    assert micro_batches([], 100) == []
    assert deal([], 3) == [[], [], []]


def test_pack_keeps_valid_members_only_and_their_order():
    group = Group(
        source=1,
        number=8,
        members=(
            trajectory("..xxx", ((4, 1.0),)),
            trajectory("..xx", ((3, 9.0),), status=Status.ERROR),
            trajectory("...x", ((3, 0.25),), start=50),
            trajectory("..x", masked=True),
        ),
    )
    other = Group(source=0, number=2, members=(trajectory(".xx", start=90),))
    batch = pack([group, other])
    assert [ids.tolist() for ids in batch.token_ids] == [
        [0, 1, 2, 3, 4],
        [50, 51, 52, 53],
        [90, 91, 92],
    ]
    assert batch.lengths_S.tolist() == [3, 1, 2]
    assert batch.sequence_T.tolist() == [0, 0, 0, 1, 2, 2]
    assert batch.group_S.tolist() == [8, 8, 2]
    assert batch.source_S.tolist() == [1, 1, 0]
    assert batch.scores_S.tolist() == [1.0, 0.25, 0.0]
    assert batch.rewards_T.tolist() == [0, 0, 1.0, 0.25, 0, 0]
    assert batch.sampler_logprobs_T.tolist() == [-2, -3, -4, -3, -1, -2]
    assert batch.version_T.tolist() == [3] * 6
    assert (batch.total.tokens, batch.total.sequences) == (6, 3)


def test_pack_numbers_the_turns_of_a_conversation():
    conversation = trajectory("..xx.x..xxx", ((3, 0.5), (5, 0.25), (10, 1.0)))
    batch = pack([Group(source=0, number=0, members=(conversation,))])
    assert batch.turn_T.tolist() == [0, 0, 1, 2, 2, 2]
    assert batch.rewards_T.tolist() == [0, 0.5, 0.25, 0, 0, 1.0]
    assert batch.scores_S.tolist() == [1.75]


def test_pack_adds_up_rewards_that_fall_on_one_token():
    batch = pack([Group(source=0, number=0, members=(trajectory(".x", ((1, 0.5), (1, 0.25))),))])
    assert batch.rewards_T.tolist() == [0.75]


def test_pack_examples_trains_on_completions_only():
    batch = pack_examples([((1, 2, 3), (4, 5)), ((6,), (7,))])
    assert [ids.tolist() for ids in batch.token_ids] == [[1, 2, 3, 4, 5], [6, 7]]
    assert [m.tolist() for m in batch.loss_mask] == [[False] * 3 + [True] * 2, [False, True]]
    assert (batch.total.tokens, batch.total.sequences) == (3, 2)
