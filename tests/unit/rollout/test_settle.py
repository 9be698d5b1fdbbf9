"""Graders that judge several completions at once: pending first, then a verdict for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import gymnasium
import numpy as np
import pytest
from tests.unit.rollout.test_collect import Add, half_right, right, run

from palestra.envs import Score, SingleTurnEnv, Status, Task
from palestra.envs.answers import strict_answer
from palestra.errors import ConfigError, GraderFailed, TrainingError
from palestra.rollout.collect import Collected


class Vote(Add):
    """Pays for what most of the group answer."""

    env_id = "test/Vote-v1"
    seen: list[list[str]] = []

    def grade_group(self, task: Task, completions: Sequence[str]) -> list[Score]:
        self.seen.append(list(completions))
        answers = [strict_answer(c) for c in completions]
        most, _ = Counter(answers).most_common(1)[0]
        return [Score(value=float(a == most), extracted=a) for a in answers]


class Batch(Add):
    env_id = "test/Batch-v1"
    seen: list[int] = []

    def grade_batch(self, tasks: Sequence[Task], completions: Sequence[str]) -> list[float]:
        self.seen.append(len(tasks))
        return [
            float(strict_answer(c) == t.reference) for t, c in zip(tasks, completions, strict=True)
        ]


class Sick(Add):
    env_id = "test/Sick-v1"
    how = "raise"
    calls = 0

    def grade_group(self, task: Task, completions: Sequence[str]) -> list[float]:
        type(self).calls += 1
        if self.how == "raise" or (self.how == "once" and self.calls == 1):
            raise RuntimeError("the judge is down")
        if self.how == "late":
            raise TimeoutError("no answer")
        return [1.0] * (len(completions) - (self.how == "short"))


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Vote.seen, Batch.seen, Sick.calls = [], [], 0


def members(collected: Collected) -> list[tuple[float, Status]]:
    return [(m.reward, m.status) for g in collected.kept for m in g.members]


def three_of_four(prompt: str, index: int) -> str:
    return right(prompt) if index % 4 else "<think>x</think><answer>-1</answer>"


def test_a_group_is_judged_once_and_whole():
    collected, _ = run(Vote, three_of_four)
    assert [len(group) for group in Vote.seen] == [4, 4]
    assert members(collected) == [(0.0, Status.OK), *[(1.0, Status.OK)] * 3] * 2
    assert collected.kept[0].members[0].extracted == "-1"
    assert all("accuracy" in m.components for g in collected.kept for m in g.members)


def test_a_batch_holds_every_completion_of_the_source():
    collected, _ = run(Batch, half_right, prompts=3)
    assert Batch.seen == [12]
    assert members(collected) == [(0.0, Status.OK), (1.0, Status.OK)] * 6


def test_what_is_paid_alone_and_in_a_batch_is_the_same():
    alone, _ = run(Add, half_right)
    batched, _ = run(Batch, half_right)
    assert [r for r, _ in members(alone)] == [r for r, _ in members(batched)]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("raise", "the judge is down"),
        ("late", "no answer"),
        ("short", "it gave 3 scores for 4 completions"),
    ],
)
def test_a_judge_that_fails_is_no_verdict_on_anybody(
    how: str, says: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Sick, "how", how)
    with pytest.raises(TrainingError, match=says):  # all masked: nothing to train on
        run(Sick, right)
    with pytest.raises(GraderFailed, match=says):
        run(Sick, right, on_grader_error="raise")


def test_a_judge_that_failed_once_is_asked_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Sick, "how", "once")
    collected, _ = run(Sick, right, prompts=1, on_grader_error="retry")
    assert members(collected) == [(1.0, Status.OK)] * 4
    assert Sick.calls == 2


def test_gymnasium_sees_pending_and_settle_completes_it():
    first, second = Vote(), Vote()
    for env, answer in ((first, "1"), (second, "1")):
        env.reset(seed=3)
        _, reward, terminated, truncated, info = env.step(
            f"<think></think><answer>{answer}</answer>"
        )
        assert (reward, terminated, truncated) == (0.0, True, False)
        assert (info["reward_status"], info["reward_valid"]) == ("pending", False)
        assert info["reward_components"] == {}
    settled = first.settle([second])
    assert [reward for reward, _ in settled] == [1.0, 1.0]
    assert settled[1][1]["reward_status"] == "ok"
    assert settled[1][1]["extracted_answer"] == "1"
    assert settled[1][1]["task_id"] == "train/s3@1"


def test_settling_nothing_or_two_tasks_at_once_is_refused():
    env, other = Vote(), Vote()
    env.reset(seed=1)
    with pytest.raises(ConfigError, match="no step left a grading pending"):
        env.settle()
    other.reset(seed=2)
    env.step("x")
    other.step("x")
    with pytest.raises(ConfigError, match="a group is of one task"):
        env.settle([other])
    env.reset(seed=1)
    with pytest.raises(ConfigError, match="pending"):
        env.settle()
    with pytest.raises(gymnasium.error.ResetNeeded):
        Vote().step("x")


def test_a_score_outside_the_declared_range_fails_its_member_alone():
    class Generous(SingleTurnEnv):
        env_id = "test/Generous-v1"
        reward_range = (0.0, 1.0)

        def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
            return Task(prompt="?", reference="1")

        def grade_group(self, task: Task, completions: Sequence[str]) -> list[float]:
            return [1.0, 7.0]

    first, second = Generous(), Generous()
    for env in (first, second):
        env.reset(seed=0)
        env.step("x")
    (_, fine), (reward, wrong) = first.settle([second])
    assert fine["reward_status"] == "ok"
    assert (reward, wrong["reward_status"]) == (0.0, "error")
    assert "outside the reward_range" in wrong["reason"]
