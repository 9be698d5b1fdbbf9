"""Process rewards: from `Score.steps` to the token where each step ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.rollout.test_collect import TOKENIZER, Here, run

from palestra.envs import MultiTurnEnv, Score, SingleTurnEnv, Task, Turn
from palestra.learner.packing import pack
from palestra.rewards.base import RewardSum, Scored
from palestra.rewards.models import RewardModels
from palestra.rollout.prompting import Prompter
from palestra_grpo_variants.process import ProcessGRPO, ProcessGRPOConfig

STOP = 1


class Lines(SingleTurnEnv):
    """Each line is a step: worth 1 where it says so."""

    env_id = "test/Lines-v1"

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        return Task(prompt=f"Write {rng.integers(10**6)}.")

    def grade(self, task: Task, completion: str) -> Score:
        right = float(completion.endswith("done"))
        return Score(
            value=right, components={"accuracy": right}, steps=steps_of(completion, prefix="good")
        )


class Talk(MultiTurnEnv):
    env_id = "test/Talk-v1"
    max_turns = 2

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        return Task(prompt=f"Talk {rng.integers(10**6)}.")

    def begin(self, task: Task) -> str:
        return task.prompt if isinstance(task.prompt, str) else ""

    def respond(self, task: Task, action: str) -> Turn:
        score = Score(value=0.0, steps=steps_of(action, prefix="good"))
        return Turn(observation="go on", score=score)


class Lines2(Lines):
    env_id = "test/Lines2-v1"

    def grade(self, task: Task, completion: str) -> float:
        return 1.0


class ProcessModel:
    """A process reward model: half a point a line."""

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        return [
            Score(value=9.0, steps=tuple((e, 0.5) for e, _ in steps_of(item.completion)))
            for item in batch
        ]


def steps_of(text: str, prefix: str = "") -> tuple[tuple[int, float], ...]:
    """Return a step for each line that ends."""
    out, end = [], 0
    for line in text.splitlines(keepends=True):
        end += len(line)
        if line.endswith("\n"):
            out.append((end, float(line.startswith(prefix))))
    return tuple(out)


def heads(member: Any, prompter: Prompter) -> list[tuple[str, float]]:
    """Return the text up to each rewarded token of the last turn, and the reward."""
    start = int(np.flatnonzero(member.loss_mask)[0])
    return [
        (prompter.action(member.token_ids[start : token + 1].tolist()), value)
        for token, value in member.rewards
    ]


def test_each_step_is_paid_on_the_token_in_which_it_ends() -> None:
    collected, _ = run(
        Lines,
        lambda prompt, index: "good 一\nbad é\ngood\ndone",
        prefill="<think>\n",
        rewards={"accuracy": 1.0, "steps": 0.5},
    )
    member = collected.kept[0].members[0]
    prompter = Prompter(TOKENIZER, "chat", "<think>\n")
    whole = "<think>\ngood 一\nbad é\ngood\ndone"
    assert heads(member, prompter) == [
        ("<think>\ng", 0.0),  # the prefill is a line of its own, and no token: the first one's
        ("<think>\ngood 一\n", 0.5),
        ("<think>\ngood 一\nbad é\n", 0.0),
        ("<think>\ngood 一\nbad é\ngood\n", 0.5),
        (whole, 1.0),  # accuracy, with the stop token
    ]
    assert int(member.token_ids[member.rewards[-1][0]]) == STOP
    assert member.reward == pytest.approx(2.0)
    assert member.components == {"accuracy": 1.0, "steps": 2.0}
    batch = pack(collected.kept)
    assert int(batch["paid"].sum()) == 5 * len(batch)  # a step worth 0 is a step
    assert float(batch.rewards_T.sum()) == pytest.approx(float(batch.scores_S.sum()))


def test_steps_that_a_source_does_not_name_are_not_paid() -> None:
    collected, _ = run(Lines, lambda p, i: "good\ngood\nx", rewards={"accuracy": 1.0})
    member = collected.kept[0].members[0]
    assert [value for _, value in member.rewards] == [0.0]
    assert member.components["steps"] == 2.0  # recorded all the same


def test_a_source_that_names_steps_alone_has_no_reward_at_the_end() -> None:
    collected, _ = run(Lines, lambda p, i: "good\nbad\ndone", rewards={"steps": 1.0})
    assert [value for _, value in collected.kept[0].members[0].rewards] == [1.0, 0.0]
    collected, _ = run(Lines, lambda p, i: "no line ends here", rewards={"steps": 1.0})
    (only,) = collected.kept[0].members[0].rewards  # nothing to pay: 0, where the turn ends
    assert only == (len(collected.kept[0].members[0].token_ids) - 1, 0.0)


def test_a_reward_model_with_steps_is_paid_by_them_and_not_by_its_value() -> None:
    collected, _ = run(
        Lines2,
        lambda p, i: "a\nb\nc",
        rewards={"accuracy": 1.0, "prm": 2.0},
        models={"prm": ProcessModel},
    )
    member = collected.kept[0].members[0]
    assert [value for _, value in member.rewards] == [1.0, 1.0, 1.0]
    assert member.components["prm"] == 1.0
    models = RewardModels(Here(Lines, prm=ProcessModel))
    rewards = RewardSum({"prm": 2.0}, models, "here")
    scored = Scored(messages=[], completion="a\nb\n", language=None, env_id="e", task_id="t")
    models = rewards.model_scores([scored])[0]
    assert rewards.total({"accuracy": 0.0}, models) == pytest.approx(2.0)  # one sum for everyone


def test_steps_of_several_turns_fall_on_their_own_turns() -> None:
    collected, _ = run(Talk, lambda p, i: "good\nx", rewards={"steps": 1.0})
    member = collected.kept[0].members[0]
    starts = np.flatnonzero(np.diff(member.loss_mask.astype(int), prepend=0) == 1)
    assert [token for token, _ in member.rewards] == [start + 4 for start in starts]
    assert pack(collected.kept)["paid"].sum() == 2 * sum(len(g.members) for g in collected.kept)


def test_collected_steps_become_the_advantages_of_their_tokens() -> None:
    scripts = ["good\nbad\n", "bad\nbad\n"]
    collected, _ = run(
        Lines, lambda p, i: scripts[i % 2], prompts=1, group_size=2, rewards={"steps": 1.0}
    )
    batch = pack(collected.kept)
    optimizer = ProcessGRPO(ProcessGRPOConfig(std="population", eps=0.0))
    got = optimizer.advantages(batch)["advantages"]
    # Rewards 1, 0, 0, 0: normalised sqrt(3), and -1/sqrt(3) for each of the others.
    high, low = 3**0.5, -(3**-0.5)
    first = [high + low] * 5 + [low] * 4 + [0.0]  # the stop token earns nothing that is later
    second = [2 * low] * 4 + [low] * 4 + [0.0]
    assert got.tolist() == pytest.approx(first + second, abs=1e-5)
    assert got.dtype == torch.float32


@given(st.text(max_size=30), st.integers(0, 40), st.sampled_from(["", "<think>\n"]))
def test_a_place_in_the_text_is_in_the_token_that_first_holds_it(
    text: str, end: int, prefill: str
) -> None:
    prompter = Prompter(TOKENIZER, "chat", prefill)
    ids = [*TOKENIZER.encode(text, add_special_tokens=False), STOP]
    whole = prompter.action(ids)
    place = prompter.token_at(ids, min(end, len(whole)))
    assert 0 <= place < len(ids)
    head = whole[: min(end, len(whole))]
    assert prompter.action(ids[: place + 1])[: len(head)] == head
    assert place == 0 or prompter.action(ids[:place])[: len(head)] != head


@pytest.mark.parametrize(
    "steps", [((5, 1.0), (3, 1.0)), ((5, float("nan")),), ((-1, 0.0),)], ids=str
)
def test_steps_out_of_order_or_without_a_number_are_refused(steps: Any) -> None:
    with pytest.raises(ValueError, match="in the order of the text"):
        Score(value=0.0, steps=steps)
