"""Mixtures: drawn deterministically, by weight, and resumed by their cursor."""

from __future__ import annotations

import json
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palestra.envs import MultiTurnEnv, SingleTurnEnv, Task, TextEnv, Turn
from palestra.errors import GraderFailed
from palestra.mixture.compose import asked
from palestra.mixture.config import MixtureConfig, SourceConfig
from palestra.mixture.curriculum import Outcome
from palestra.mixture.draw import Mixture
from palestra.mixture.sources import Source, make_sources
from palestra.plugins.kinds import Kind
from palestra.plugins.registry import Registered, Registry
from palestra.plugins.specs import EnvironmentSpec


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

    def find(self, kind: Kind, name: str) -> Registered:
        spec = EnvironmentSpec(name=name, entry_point="", isolation="inline")
        return Registered(spec=spec, distribution="test", plugin="test")

    def make_env(self, env_id: str, **kwargs: object) -> TextEnv:
        self.made += 1
        return {"test/One-v1": One, "test/Two-v1": Two}[env_id](**kwargs)  # type: ignore[arg-type]


def mixture(weights: list[float], seed: int = 0, stream: str = "zero") -> Mixture:
    return of([{"weight": w} for w in weights], seed, stream)


def of(sources: list[dict[str, object]], seed: int = 0, stream: str = "zero") -> Mixture:
    configs = [SourceConfig.model_validate({"env": "test/One-v1", **s}) for s in sources]
    return Mixture([Source(c, Here(), "m") for c in configs], seed, stream)


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


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf")])
def test_a_weight_is_not_negative_and_finite(weight: float):
    with pytest.raises(ValueError, match="weight"):
        SourceConfig(env="test/One-v1", weight=weight)


def test_an_empty_mixture_is_refused():
    with pytest.raises(ValueError, match="sources"):
        MixtureConfig(sources=[])


# -- what must stay as it is -----------------------------------------------------------------------


def test_weights_alone_draw_what_they_always_drew():
    """Measured results rest on these draws: they change with nothing but seed, stage and number."""
    drawn = mixture([1, 2, 1]).draw(12)
    assert [d.source for d in drawn] == [0, 2, 0, 2, 1, 2, 0, 2, 2, 1, 1, 2]
    assert drawn[0].env_seed == 1605287913848479277
    assert drawn[11].env_seed == 1491281311783284397
    assert all(d.options == {} for d in drawn)


# -- quotas and floors -----------------------------------------------------------------------------


def counts(m: Mixture, prompts: int) -> list[int]:
    return np.bincount([d.source for d in m.draw(prompts)], minlength=len(m.sources)).tolist()


def test_quotas_are_exact_in_every_step():
    m = of([{"quota": 3}, {"weight": 2}, {"weight": 1}, {"quota": 1}])
    for _ in range(30):
        given = counts(m, 10)
        assert (given[0], given[3]) == (3, 1)
        assert sum(given) == 10


def test_what_quotas_leave_is_shared_by_weight():
    m = of([{"quota": 4}, {"weight": 3}, {"weight": 1}])
    total = np.sum([counts(m, 12) for _ in range(300)], axis=0)
    assert total[0] == 1200
    assert total[1] / (total[1] + total[2]) == pytest.approx(0.75, abs=0.03)


def test_quotas_alone_fill_a_step():
    assert counts(of([{"quota": 4}, {"quota": 2}]), 6) == [4, 2]


def test_quotas_do_not_always_fall_on_the_same_places():
    m = of([{"quota": 2}, {"weight": 1}])
    places = {tuple(d.source for d in m.draw(6)) for _ in range(20)}
    assert len(places) > 5


@given(
    st.lists(st.floats(0, 0.4), min_size=1, max_size=3),
    st.lists(st.floats(0.01, 5), min_size=1, max_size=3),
    st.integers(8, 40),
    st.integers(0, 9),
)
def test_floors_hold_in_every_step(
    floors: list[float], weights: list[float], prompts: int, seed: int
):
    floors = (floors + [0.0] * len(weights))[: len(weights)]
    needed = [ceil(f * prompts - 1e-9) for f in floors]
    if sum(needed) > prompts or sum(floors) > 1:
        return
    m = of([{"weight": w, "floor": f} for w, f in zip(weights, floors, strict=True)], seed)
    for _ in range(3):
        given = counts(m, prompts)
        assert sum(given) == prompts
        assert all(n >= least for n, least in zip(given, needed, strict=True))


def test_a_floor_that_the_weights_keep_changes_nothing():
    plain, held = of([{"weight": 1}, {"weight": 1}]), of([{"weight": 1, "floor": 0.01}, {}])
    for _ in range(10):
        a, b = plain.draw(32), held.draw(32)
        assert [d.source for d in a] == [d.source for d in b]


def test_a_source_with_weight_zero_is_off_unless_it_has_a_floor():
    assert counts(of([{"weight": 0}, {"weight": 1}]), 50) == [0, 50]
    assert counts(of([{"weight": 0, "floor": 0.1}, {"weight": 1}]), 50) == [5, 45]


def test_a_refill_replaces_a_dropped_group_by_one_of_its_source():
    m = of([{"quota": 2}, {"weight": 1}])
    m.draw(6)
    assert [d.source for d in m.draw(3, replacing=[0, 1, 0])] == [0, 1, 0]
    assert [d.number for d in m.draw(1, replacing=[1])] == [9]


def test_a_resumed_step_has_the_same_quotas():
    whole, again = of([{"quota": 2}, {}, {"floor": 0.2}]), of([{"quota": 2}, {}, {"floor": 0.2}])
    whole.draw(7)
    again.load_state_dict(json.loads(json.dumps(whole.state_dict())))
    assert again.draw(8) == whole.draw(8)


def test_asked_prompts_are_what_is_drawn_on_average():
    sources = [{"quota": 4}, {"weight": 3}, {"weight": 1}, {"weight": 0.1, "floor": 0.25}]
    m = of(sources)
    mean = np.mean([counts(m, 16) for _ in range(400)], axis=0)
    wanted = asked([s.config for s in m.sources], 16)
    assert sum(wanted) == pytest.approx(16)
    assert wanted[3] == 4
    assert mean == pytest.approx(wanted, abs=0.4)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"quota": 2, "weight": 1}, "both `quota` and `weight`"),
        ({"quota": 2, "floor": 0.1}, "both `quota` and `floor`"),
        ({"floor": 1.2}, "less than or equal to 1"),
        ({"quota": 0}, "greater than or equal to 1"),
        ({"sampling": {"temperature": 0}}, "greater than 0"),
        ({"max_grader_errors": 2}, "less than or equal to 1"),
    ],
)
def test_a_source_that_contradicts_itself_is_refused(source: dict[str, object], said: str):
    with pytest.raises(ValueError, match=said):
        SourceConfig.model_validate({"env": "test/One-v1", **source})


def test_a_mixture_with_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="every weight is 0"):
        MixtureConfig.model_validate({"sources": [{"env": "a/A-v1", "weight": 0.0}] * 2})
    with pytest.raises(ValueError, match=r"floors add up to 1\.2"):
        MixtureConfig.model_validate({"sources": [{"env": "a/A-v1", "floor": 0.6}] * 2})


# -- what was given --------------------------------------------------------------------------------


def outcome(source: int, number: int = 0, kept: bool = True, failed: int = 0, valid: int = 4):
    return Outcome(
        source=source,
        number=number,
        task_id="t",
        difficulty=1,
        kept=kept,
        rewards=(1.0,) * valid,
        components=({"accuracy": 1.0},) * valid,
        failed=failed,
        reason="the grader is out to lunch" if failed else "",
    )


def test_asked_and_realised_shares_are_counted_over_the_stage():
    m = of([{"quota": 1}, {"weight": 1}])
    for _ in range(3):
        m.draw(4)
        m.observe([outcome(0), outcome(1), outcome(1), outcome(1, kept=False)])
    report = m.report()
    assert report["test/One-v1#0"]["asked"] == 0.25
    assert report["test/One-v1#0"]["realised"] == pytest.approx(1 / 3)
    assert report["test/One-v1#1"]["prompts"] == 6
    assert report["test/One-v1#1"]["completions"] == 36


def test_too_many_grader_errors_stop_the_run_and_name_the_source():
    m = of([{"weight": 1}, {"weight": 1, "max_grader_errors": 0.2}])
    m.draw(8)
    m.observe([outcome(0, valid=16), outcome(1, failed=3, valid=13), outcome(1, valid=16)])
    with pytest.raises(GraderFailed) as caught:
        m.observe([outcome(1, failed=9, valid=7)])
    assert "m (test/One-v1): 12 of the last 48 completions (25%) could not be graded" in str(
        caught.value
    )
    assert "max_grader_errors is 20%" in str(caught.value)
    assert "the grader is out to lunch" in str(caught.value)


def test_a_few_completions_are_no_share_yet():
    m = of([{}])
    m.draw(1)
    m.observe([outcome(0, failed=8, valid=8)])
    with pytest.raises(GraderFailed):
        m.observe([outcome(0, failed=8, valid=8)])


def test_grader_errors_are_forgotten_after_ten_steps():
    m = of([{"max_grader_errors": 0.5}])
    m.draw(1)
    m.observe([outcome(0, failed=16, valid=16)])
    for _ in range(10):
        m.observe([outcome(0, valid=2)])
    m.observe([outcome(0, failed=2, valid=30)])
    assert m.report()["test/One-v1"]["grader_errors"] == 18


def test_a_resumed_mixture_has_not_forgotten_what_it_counted():
    whole, again = of([{"quota": 1}, {}]), of([{"quota": 1}, {}])
    whole.draw(4)
    whole.observe([outcome(0), outcome(1, failed=2)])
    again.load_state_dict(json.loads(json.dumps(whole.state_dict())))
    assert again.report() == whole.report()
    assert again.state_dict() == whole.state_dict()
