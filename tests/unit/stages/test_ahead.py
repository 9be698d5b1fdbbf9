"""Rollouts ahead of their steps: of which weights, when, and what a checkpoint keeps of them."""

from __future__ import annotations

import json
import threading
from typing import Any, cast

import numpy as np
import pytest

from palestra.envs import Status
from palestra.errors import GraderFailed
from palestra.rollout.collect import Collected
from palestra.rollout.saved import group_data, group_from
from palestra.rollout.trajectory import Group, Trajectory
from palestra.stages.ahead import Ahead, Rollout
from palestra.stages.clock import StepClock


class Drawn:
    """What a mixture keeps: how often it was drawn from."""

    def __init__(self) -> None:
        self.cursor = 0

    def state_dict(self) -> dict[str, Any]:
        return {"cursor": self.cursor}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.cursor = state["cursor"]


class Collector:
    """Makes a rollout of one group; its number is the rollout's, and its tokens have the version."""

    def __init__(self, steps: int, staleness: int) -> None:
        self.drawn = Drawn()
        self.clock = StepClock()
        self.begun: list[tuple[int, int]] = []
        self.gate = threading.Semaphore(100)
        self.ahead = Ahead(
            cast("Any", self.drawn), self.collect, self.clock, steps=steps, staleness=staleness
        )

    def collect(self, version: int, clock: StepClock) -> Rollout:
        with clock("grade"):
            self.drawn.cursor += 1
            number = self.drawn.cursor
            self.begun.append((number, version))
            assert self.gate.acquire(timeout=10)
        groups = [group(number, version)]
        return Rollout(collected=Collected(kept=groups, dropped=[]), moved={"level": 0.1 * number})


def group(number: int, version: int = 0) -> Group:
    generator = np.random.default_rng(number)
    member = Trajectory(
        env_id="test/Env-v1",
        task_id=f"task-{number}",
        prompt_hash="hash",
        messages=[{"role": "user", "content": "\ud83d half a pair, and 中文"}],
        language="zh",
        difficulty=None,
        token_ids=np.array([5, 6, 7], dtype=np.int64),
        loss_mask=np.array([False, True, True]),
        sampler_logprobs=-generator.random(3, dtype=np.float32),
        versions=np.array([-1, version, version], dtype=np.int32),
        rewards=((2, 0.1), (2, 1 / 3)),
        components={"accuracy": 0.1 + 0.2},
        status=Status.UNPARSABLE,
        reason="",
        extracted=None,
        stop_reason="stop",
        text="said",
        actions=("said",),
        grade_seconds=0.25,
    )
    return Group(source=0, number=number, members=(member, member), reference=42)


@pytest.mark.parametrize("staleness", [0, 1, 2, 7])
def test_the_rollout_of_step_m_is_of_the_version_m_minus_1_minus_k(staleness: int):
    made = Collector(steps=6, staleness=staleness)
    for step in range(1, 7):
        taken = made.ahead.take(step)
        assert [g.number for g in taken.collected.kept] == [step]
        version = max(0, step - 1 - staleness)
        (kept,) = taken.collected.kept
        assert kept.members[0].versions.tolist() == [-1, version, version]
        made.ahead.rest()
        assert len(made.begun) == min(step + staleness, 6)  # at rest, and no more than may be
    assert made.begun == [(m, max(0, m - 1 - staleness)) for m in range(1, 7)]
    made.ahead.close()


def test_the_next_rollout_is_made_while_the_step_learns():
    made = Collector(steps=3, staleness=1)
    made.gate = threading.Semaphore(1)
    taken = made.ahead.take(1)  # the second is begun, and held
    assert [g.number for g in taken.collected.kept] == [1]
    assert made.clock.take().keys() == {"seconds/wait"}
    assert taken.seconds.keys() == {"seconds_ahead/generate", "seconds_ahead/grade"}
    made.gate.release()
    made.ahead.rest()
    assert made.begun == [(1, 0), (2, 0)]
    made.gate.release()
    assert [g.number for g in made.ahead.take(2).collected.kept] == [2]
    made.ahead.close()


def test_within_the_step_nothing_is_waited_for_and_nothing_kept():
    made = Collector(steps=3, staleness=0)
    taken = made.ahead.take(1)
    made.ahead.rest()
    assert made.clock.take().keys() == {"seconds/grade"}
    assert taken.seconds == {}
    assert made.ahead.state_dict() == {"cursor": 1}


def test_what_collecting_raises_is_raised_where_it_is_waited_for():
    made = Collector(steps=3, staleness=1)
    made.ahead.take(1)
    made.ahead.rest()

    def fail(version: int, clock: StepClock) -> Rollout:
        raise GraderFailed("no verdict")

    made.ahead._collect = fail
    made.ahead.take(2)
    with pytest.raises(GraderFailed, match="no verdict"):
        made.ahead.rest()
    made.ahead.close()


def test_a_checkpoint_keeps_what_waits_and_goes_on_with_the_next():
    whole = Collector(steps=5, staleness=2)
    first = Collector(steps=5, staleness=2)
    for step in (1, 2):
        whole.ahead.take(step)
        first.ahead.take(step)
    first.ahead.rest()
    state = json.loads(json.dumps(first.ahead.state_dict()))
    second = Collector(steps=5, staleness=2)
    second.ahead.load_state_dict(state)
    for step in (3, 4, 5):
        expected, found = whole.ahead.take(step), second.ahead.take(step)
        assert [group_data(g) for g in found.collected.kept] == [
            group_data(g) for g in expected.collected.kept
        ]
        assert found.moved == expected.moved
    assert second.begun == [(5, 2)]


def test_a_group_read_back_is_the_same_token_for_token():
    before = group(7, version=3)
    after = group_from(json.loads(json.dumps(group_data(before))))
    assert (after.source, after.number, after.reference) == (0, 7, "42")
    for one, other in zip(before.members, after.members, strict=True):
        for name in ("token_ids", "loss_mask", "sampler_logprobs", "versions"):
            mine, theirs = getattr(one, name), getattr(other, name)
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)
        assert one.rewards == other.rewards
        assert one.components == other.components
        assert one.status is other.status
        assert one.messages == other.messages
        assert (one.actions, one.grade_seconds) == (other.actions, other.grade_seconds)
