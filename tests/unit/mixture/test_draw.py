"""Mixtures: drawn deterministically, by weight, and resumed by their cursor."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palestra.envs import MultiTurnEnv, SingleTurnEnv, Task, TextEnv, Turn
from palestra.mixture.config import MixtureConfig, SourceConfig
from palestra.mixture.draw import Mixture
from palestra.mixture.sources import Source, make_sources
from palestra.plugins.kinds import Kind
from palestra.plugins.registry import Registry


class One(SingleTurnEnv):
    env_id = "test/One-v1"
    difficulties = (1, 3)

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.size = size

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        return Task(prompt=str(rng.integers(10**6)), language="zh" if rng.random() < 0.5 else "en")


class Two(MultiTurnEnv):
    env_id = "test/Two-v1"

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        return Task(prompt=str(rng.integers(10**6)))

    def respond(self, task: Task, action: str) -> Turn:
        return Turn(done=True)


class Here(Registry):
    """A registry of this file's classes."""

    made = 0

    def names(self, kind: Kind) -> list[str]:
        return []

    def make_env(self, env_id: str, **kwargs: object) -> TextEnv:
        self.made += 1
        return {"test/One-v1": One, "test/Two-v1": Two}[env_id](**kwargs)  # type: ignore[arg-type]


def mixture(weights: list[float], seed: int = 0, stream: str = "zero") -> Mixture:
    sources = [Source(SourceConfig(env="test/One-v1", weight=w), Here(), "m") for w in weights]
    return Mixture(sources, seed, stream)


def test_the_same_seed_and_stage_draw_the_same():
    assert mixture([1, 2]).draw(50) == mixture([1, 2]).draw(50)


@pytest.mark.parametrize("other", [{"seed": 1}, {"stream": "r1"}])
def test_another_seed_or_stage_draws_other_tasks(other: dict[str, object]):
    mine = {d.env_seed for d in mixture([1, 2]).draw(50)}
    theirs = {d.env_seed for d in mixture([1, 2], **other).draw(50)}  # type: ignore[arg-type]
    assert len(mine) == len(theirs) == 50
    assert mine.isdisjoint(theirs)


@given(st.lists(st.integers(0, 9), max_size=8))
def test_how_draws_are_grouped_does_not_matter(counts: list[int]):
    whole, parts = mixture([3, 1]), mixture([3, 1])
    assert [d for c in counts for d in parts.draw(c)] == whole.draw(sum(counts))


@given(st.integers(0, 60), st.integers(1, 20))
def test_a_resumed_mixture_goes_on_where_it_was(before: int, after: int):
    whole = mixture([3, 1])
    whole.draw(before)
    state = json.loads(json.dumps(whole.state_dict()))  # as a checkpoint keeps it
    again = mixture([3, 1])
    again.load_state_dict(state)
    assert again.draw(after) == whole.draw(after)
    assert again.cursor == before + after


def test_draws_are_numbered_through():
    m = mixture([1])
    assert [d.number for d in [*m.draw(3), *m.draw(2)]] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("weights", [[1.0], [3.0, 1.0], [0.2, 0.3, 0.5], [1e-3, 1e3]])
def test_sources_are_drawn_by_their_weights(weights: list[float]):
    count = 3000
    drawn = np.bincount([d.source for d in mixture(weights).draw(count)], minlength=len(weights))
    shares = np.array(weights) / sum(weights)
    spread = np.sqrt(count * shares * (1 - shares))
    assert (np.abs(drawn - count * shares) <= 4 * spread + 1).all()


def test_the_source_of_a_draw_says_nothing_of_its_seed():
    """Adding a source leaves the tasks' seeds alone."""
    assert [d.env_seed for d in mixture([1]).draw(20)] == [
        d.env_seed for d in mixture([1, 5]).draw(20)
    ]


def test_a_source_passes_its_options_to_reset():
    config = SourceConfig(
        env="test/One-v1", split="test", difficulty=(2, 3), language="zh", kwargs={"size": 9}
    )
    source = Source(config, Here(), "m")
    assert source.options == {"split": "test", "difficulty": (2, 3), "language": "zh"}
    env = source.env()
    for seed in range(20):
        _, info = env.reset(seed=seed, options=source.options)
        assert (info["split"], info["language"]) == ("test", "zh")
        assert info["difficulty"] in (2, 3)
    assert isinstance(env, One)
    assert env.size == 9


def test_single_turns_share_what_was_loaded_and_nothing_else():
    registry = Here()
    source = Source(SourceConfig(env="test/One-v1"), registry, "m")
    first, second = source.env(), source.env()
    assert registry.made == 1
    first.reset(seed=1)
    second.reset(seed=2)
    assert first.task != second.task
    assert first.task is not None


def test_conversations_have_an_environment_each():
    registry = Here()
    source = Source(SourceConfig(env="test/Two-v1"), registry, "m")
    source.env(), source.env()
    assert registry.made == 3


def test_sources_keep_the_recipes_order_and_know_their_place():
    config = MixtureConfig(
        sources=[
            SourceConfig(env="test/Two-v1"),
            SourceConfig(env="test/One-v1", rewards={"accuracy": 2}),
        ]
    )
    sources = make_sources(config, Here(), "mixtures.mine")
    assert [s.config.env for s in sources] == ["test/Two-v1", "test/One-v1"]
    assert [s.where for s in sources] == ["mixtures.mine.sources.0", "mixtures.mine.sources.1"]


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_a_weight_is_positive_and_finite(weight: float):
    with pytest.raises(ValueError, match="weight"):
        SourceConfig(env="test/One-v1", weight=weight)


def test_an_empty_mixture_is_refused():
    with pytest.raises(ValueError, match="sources"):
        MixtureConfig(sources=[])
