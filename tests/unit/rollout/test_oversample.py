"""More prompts than are wanted: the first usable groups count, whichever ends first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.rollout.test_collect import TOKENIZER, Add, Guess, Here, ScriptedSampler
from tests.unit.rollout.test_pace import PATIENCE, Beside

from palestra.envs import SingleTurnEnv, TextEnv
from palestra.errors import ConfigError
from palestra.mixture.config import SourceConfig
from palestra.mixture.draw import Mixture
from palestra.mixture.sources import Source
from palestra.recipe.config import load_recipe
from palestra.rewards.format import FormatReward
from palestra.rollout.collect import Collected, collect
from palestra.rollout.collection import Collection
from palestra.rollout.prompting import Prompter
from palestra.rollout.samplers.base import Sampler, SamplingParams
from palestra.rollout.trajectory import Group
from palestra.rollout.wanted import Wanted


def gather(
    sampler: Sampler,
    keep: Callable[[Group], bool],
    *,
    env: type[TextEnv] = Add,
    prompts: int = 4,
    oversample: float = 2.0,
    max_refills: int = 3,
    **source: Any,
) -> tuple[Collected, Mixture]:
    registry = Here(env, format=FormatReward)
    config = SourceConfig(env=env.env_id, **source)
    mixture = Mixture([Source(config, registry, "mixtures.m.sources.0")], 0, "s")
    collected = collect(
        mixture,
        sampler,
        Prompter(TOKENIZER, "chat", ""),
        Collection(params=SamplingParams(max_tokens=60), group_size=2, noise=(0, "sample", "s")),
        prompts=prompts,
        keep=keep,
        max_refills=max_refills,
        oversample=oversample,
    )
    return collected, mixture


def even(group: Group) -> bool:
    return group.number % 2 == 0


def numbers(groups: list[Group]) -> list[int]:
    return [g.number for g in groups]


def said(prompt: str, index: int = 0) -> str:
    return f"<think>x</think><answer>{len(prompt)}</answer>"


@pytest.mark.parametrize("sampler", [lambda: ScriptedSampler(said), lambda: Beside(said)])
def test_the_first_usable_groups_are_kept_and_what_lies_behind_is_nothing(sampler: Any):
    collected, mixture = gather(sampler(), even)
    assert numbers(collected.kept) == [0, 2, 4, 6]
    assert numbers(collected.dropped) == [1, 3, 5]
    assert mixture.cursor == 8
    assert [o.number for o in collected.outcomes()] == list(range(7))


@pytest.mark.parametrize("sampler", [lambda: ScriptedSampler(said), lambda: Beside(said)])
def test_a_refill_is_oversampled_too(sampler: Any):
    collected, mixture = gather(sampler(), lambda g: g.number % 4 == 0, prompts=3, oversample=1.5)
    # five, of which 0 and 4 are kept, then two and two for the third
    assert numbers(collected.kept) == [0, 4, 8]
    assert numbers(collected.dropped) == [1, 2, 3, 5, 6, 7]
    assert mixture.cursor == 9


def test_rewards_and_tokens_are_the_same_as_without_cutting():
    rewards = {"accuracy": 1.0, "format": 0.5}
    one, _ = gather(ScriptedSampler(said), even, rewards=rewards)
    other, _ = gather(Beside(said), even, rewards=rewards)
    for mine, theirs in zip(one.kept + one.dropped, other.kept + other.dropped, strict=True):
        for a, b in zip(mine.members, theirs.members, strict=True):
            assert a.token_ids.tolist() == b.token_ids.tolist()
            assert (a.rewards, a.components) == (b.rewards, b.components)


def test_a_group_that_cannot_be_wanted_any_more_is_cut_off():
    """The fifth group never ends; four before it are enough."""
    held = threading.Event()
    prompts: list[str] = []
    lock = threading.Lock()

    def script(prompt: str) -> str:
        with lock:
            if prompt not in prompts:
                prompts.append(prompt)
        if prompts.index(prompt) >= 4:
            held.wait(PATIENCE)
        return said(prompt)

    sampler = Beside(script)
    try:
        collected, mixture = gather(sampler, lambda g: True)
        assert numbers(collected.kept) == [0, 1, 2, 3]
        assert not held.is_set()
        assert mixture.cursor == 8
        assert len(sampler.futures) == 16
    finally:
        held.set()


def test_a_conversation_is_cut_off_between_its_turns():
    held = threading.Event()
    prompts: list[str] = []

    def script(prompt: str) -> str:
        opening = prompt.partition("<|assistant|>")[0]
        if opening not in prompts:
            prompts.append(opening)
        if prompts.index(opening) >= 2 and "<|tool|>" in prompt:
            held.wait(PATIENCE)
        return "1"

    try:
        collected, _ = gather(
            Beside(script), lambda g: True, env=Guess, prompts=2, rewards={"solved": 1.0}
        )
        assert numbers(collected.kept) == [0, 1]
        assert {m.turns for g in collected.kept for m in g.members} == {3}
    finally:
        held.set()


def test_graders_of_groups_judge_a_group_as_soon_as_it_is_there():
    class Pairs(Add):
        env_id = "test/Pairs-v1"

        def grade_group(self, task: Any, completions: Any) -> list[float]:
            return [float(i) for i in range(len(completions))]

    assert issubclass(Pairs, SingleTurnEnv)
    collected, _ = gather(Beside(said), even, env=Pairs)
    assert numbers(collected.kept) == [0, 2, 4, 6]
    assert [[m.reward for m in g.members] for g in collected.kept] == [[0.0, 1.0]] * 4


def test_groups_are_judged_once_and_the_last_wanted_is_known_early():
    asked: list[int] = []

    class Numbered:
        def __init__(self, number: int) -> None:
            self.number = number

    def usable(group: Any) -> bool:
        asked.append(group.number)
        return group.number != 3

    wanted = Wanted(2, usable)
    for number in (7, 3, 5):
        wanted.usable(Numbered(number))  # type: ignore[arg-type]
        wanted.usable(Numbered(number))  # type: ignore[arg-type]
    assert asked == [7, 3, 5]
    assert wanted.last == 7
    wanted.usable(Numbered(1))  # type: ignore[arg-type]
    assert wanted.last == 5


def test_quotas_and_floors_cannot_be_held_so_they_are_refused():
    recipe = Path(__file__).parents[1] / "recipe" / "canonical.yaml"
    sets = ["stages.zero.oversample=1.5", "mixtures.reasoning.sources.0.floor=0.5"]
    with pytest.raises(
        ConfigError, match=r"stages\.zero\.oversample: .*the quota or floor of math/"
    ):
        load_recipe(recipe, sets)
    assert load_recipe(recipe, sets[:1]).stages["zero"].oversample == 1.5  # type: ignore[attr-defined]
