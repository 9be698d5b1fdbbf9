"""Curricula: deterministic, resumed exactly, and named where they go wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palestra.errors import NotFound, PluginError
from palestra.mixture.config import CurriculumConfig, MixtureConfig, SourceConfig
from palestra.mixture.curriculum import Curriculum, GuardedCurriculum, Outcome
from palestra.mixture.draw import Mixture, make_mixture
from palestra.plugins.registry import Registry, get_registry
from palestra_curricula.schedule import Schedule, ScheduleConfig
from palestra_curricula.success_rate import SuccessRate, SuccessRateConfig

ADD = "math/Arithmetic-v1"
ORDER = "logic/Ordering-v1"
TWO = [{"env": ADD, "difficulty": [1, 3]}, {"env": ORDER}]


def made(curriculum: dict[str, Any], sources: list[dict[str, Any]] | None = None) -> Mixture:
    config = MixtureConfig.model_validate({"sources": sources or TWO, "curriculum": curriculum})
    return make_mixture(config, get_registry(), "mixtures.m", 0, "zero")


def outcome(source: int, success: float, number: int = 0) -> Outcome:
    right = round(4 * success)
    scores = [{"accuracy": 1.0}] * right + [{"accuracy": 0.0}] * (4 - right)
    rewards = tuple(s["accuracy"] for s in scores)
    return Outcome(
        source=source,
        number=number,
        task_id=f"t{number}",
        difficulty=1,
        kept=True,
        rewards=rewards,
        components=tuple(scores),
    )


def rate(**config: Any) -> SuccessRate:
    sources = [SourceConfig.model_validate(s) for s in TWO]
    return SuccessRate(SuccessRateConfig(**config), sources)


def level(curriculum: SuccessRate) -> float:
    return curriculum.metrics()[f"level/{ADD}"]


# -- schedule --------------------------------------------------------------------------------------


def test_a_schedule_moves_at_its_steps():
    phases = [
        {"from_step": 2, "difficulty": [1, 1], "weights": [1, 0]},
        {"from_step": 4, "difficulty": 3},
    ]
    m = made({"type": "schedule", "phases": phases})
    steps: list[list[Any]] = []
    for _ in range(4):
        steps.append(m.draw(8))
        m.observe([])
    first, second, third, fourth = steps
    assert {d.source for d in first} == {0, 1}
    assert all(d.options == {} for d in first)
    assert {d.source for d in second + third} == {0}
    assert {str(d.options) for d in second + third} == {"{'difficulty': (1, 1)}"}
    assert {d.source for d in fourth} == {0, 1}
    assert {str(d.options) for d in fourth if d.source == 0} == {"{'difficulty': 3}"}
    assert all(d.options == {} for d in fourth if d.source == 1)  # it has no levels of its own


def test_a_quota_is_kept_whatever_a_schedule_says():
    sources = [{"env": ADD, "quota": 2}, {"env": ORDER}, {"env": ADD, "difficulty": 1}]
    phases = [{"from_step": 1, "weights": [5, 1, 0]}]
    m = made({"type": "schedule", "phases": phases}, sources)
    assert np.bincount([d.source for d in m.draw(8)], minlength=3).tolist() == [2, 6, 0]


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ([], "at least 1 item"),
        ([{"from_step": 3}], "says nothing"),
        ([{"from_step": 3, "difficulty": 1}, {"from_step": 2, "difficulty": 1}], "should rise"),
        ([{"from_step": 1, "weights": [0, 0]}], "every weight is 0"),
        ([{"from_step": 1, "weights": [-1, 1]}], "greater than or equal to 0"),
    ],
)
def test_a_wrong_schedule_is_refused(phases: list[dict[str, Any]], said: str):
    with pytest.raises(ValueError, match=said):
        ScheduleConfig.model_validate({"phases": phases})


def test_a_schedule_with_too_few_weights_names_the_step():
    config = ScheduleConfig.model_validate({"phases": [{"from_step": 5, "weights": [1]}]})
    with pytest.raises(ValueError, match="from step 5 has 1 weights, and the mixture 2 sources"):
        Schedule(config, [SourceConfig(env=ADD), SourceConfig(env=ORDER)])


# -- success rate ----------------------------------------------------------------------------------


def test_easy_prompts_become_harder_and_hard_ones_easier():
    c = rate(prompts=4, move=0.5)
    c.observe([outcome(0, 1.0)] * 4)
    assert level(c) == 1.5
    c.observe([outcome(0, 0.5)] * 4)
    assert level(c) == 1.5
    c.observe([outcome(0, 0.0)] * 4)
    assert level(c) == 1.0


def test_a_level_stays_within_the_sources_range():
    c = rate(prompts=1, move=0.7)
    for _ in range(5):
        c.observe([outcome(0, 1.0)])
    assert level(c) == 3.0
    for _ in range(9):
        c.observe([outcome(0, 0.0)])
    assert level(c) == 1.0


def test_a_level_waits_for_enough_prompts_and_forgets_them_then():
    c = rate(prompts=4, move=0.5)
    c.observe([outcome(0, 1.0)] * 3)
    assert level(c) == 1.0
    c.observe([outcome(0, 1.0)])
    assert level(c) == 1.5
    c.observe([outcome(0, 1.0)] * 3)
    assert level(c) == 1.5


def test_between_two_levels_both_are_drawn():
    c = rate(prompts=1, move=0.25)
    c.observe([outcome(0, 1.0)])
    rng = np.random.default_rng(0)
    drawn = [c.options(0, 2, rng)["difficulty"] for _ in range(2000)]
    assert set(drawn) == {1, 2}
    assert np.mean(drawn) == pytest.approx(1.25, abs=0.04)


def test_a_policy_that_learns_is_kept_between_the_bounds():
    """A policy that solves level L at skill s with probability 1 / (1 + exp(2 (L - s)))."""
    sources = [SourceConfig(env=ADD, difficulty=(1, 9))]
    c = SuccessRate(SuccessRateConfig(prompts=16, move=0.5), sources)
    rng = np.random.default_rng(3)
    late: list[float] = []
    for step in range(200):
        skill = 1 + 6 * step / 200
        solved: list[float] = []
        outcomes: list[Outcome] = []
        for number in range(16):
            hard = int(c.options(0, step, rng)["difficulty"])  # type: ignore[call-overload]
            right = rng.random(4) < 1 / (1 + np.exp(2 * (hard - skill)))
            solved.append(float(right.mean()))
            outcomes.append(outcome(0, float(right.mean()), number))
        c.observe(outcomes)
        if step > 30:
            late.append(float(np.mean(solved)))
    assert np.quantile(late, 0.05) > 0.2
    assert np.quantile(late, 0.9) < 0.85


def test_sources_without_a_range_stay_as_they_are():
    c = rate()
    assert c.options(1, 1, np.random.default_rng(0)) == {}
    with pytest.raises(ValueError, match="no source has a range to move in"):
        SuccessRate(SuccessRateConfig(), [SourceConfig(env=ADD, difficulty=2)])


def test_a_component_that_nobody_emits_is_named():
    c = rate(component="acuracy")
    with pytest.raises(ValueError, match="no component 'acuracy' in task t0; it has: accuracy"):
        c.observe([outcome(0, 1.0)])


def test_failed_gradings_are_no_failures_of_the_policy():
    c = rate(prompts=1)
    nothing = Outcome(
        source=0,
        number=0,
        task_id="t",
        difficulty=1,
        kept=False,
        rewards=(),
        components=(),
        failed=4,
    )
    for _ in range(9):
        c.observe([nothing])
    assert level(c) == 1.0
    assert c.state_dict()["seen"] == {"0": []}


# -- both ------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 11))
def test_a_resumed_curriculum_draws_what_it_would_have_drawn(rates: list[float], cut: int):
    def play(m: Mixture, steps: Sequence[float]) -> list[Any]:
        drawn: list[Any] = []
        for success in steps:
            step = m.draw(6)
            drawn += step
            m.observe([outcome(d.source, success, d.number) for d in step])
        return drawn

    block = {"type": "success_rate", "prompts": 3, "move": 0.4}
    cut = min(cut, len(rates))
    whole = made(block)
    before = play(whole, rates[:cut])
    state = json.loads(json.dumps(whole.state_dict()))
    after = play(whole, rates[cut:])
    again = made(block)
    again.load_state_dict(state)
    assert play(again, rates[cut:]) == after
    assert play(made(block), rates) == before + after


# -- a user's own ----------------------------------------------------------------------------------

LOCAL = """
from palestra.mixture.curriculum import Curriculum
from palestra.plugins.specs import CurriculumSpec

class Ladder(Curriculum):
    def options(self, source, step, generator):
        return {"difficulty": min(3, step)}

class Broken(Curriculum):
    def observe(self, outcomes):
        raise RuntimeError("out of rungs")

class Sly(Curriculum):
    def options(self, source, step, generator):
        return {"split": "test"}

class Short(Curriculum):
    def weights(self, step):
        return [1.0]

def palestra_curricula():
    return [CurriculumSpec(name=c.__name__.lower(), entry_point=f"{__name__}:{c.__name__}")
            for c in (Ladder, Broken, Sly, Short)]
"""


@pytest.fixture
def local(tmp_path: Path) -> Registry:
    file = tmp_path / "my_curricula.py"
    file.write_text(LOCAL)
    registry = Registry(installed=False)
    registry.add_local(file)
    return registry


def guarded(registry: Registry, name: str) -> GuardedCurriculum:
    sources = [SourceConfig.model_validate(s) for s in TWO]
    return GuardedCurriculum(CurriculumConfig(type=name), registry, sources, "mixtures.m")


def test_a_curriculum_of_a_local_file_is_used(local: Registry):
    ladder = guarded(local, "ladder")
    rng = np.random.default_rng(0)
    assert [ladder.options(0, step, rng) for step in (1, 2, 9)] == [
        {"difficulty": 1},
        {"difficulty": 2},
        {"difficulty": 3},
    ]
    assert ladder.weights(1) is None
    assert ladder.state_dict() == {}


@pytest.mark.parametrize(
    ("name", "call", "said"),
    [
        ("broken", lambda c: c.observe([]), "observe: RuntimeError: out of rungs"),
        ("sly", lambda c: c.options(0, 1, None), "unknown option 'split'. A curriculum may set"),
        ("short", lambda c: c.weights(1), "1 weights for 2 sources"),
    ],
)
def test_a_curriculum_that_goes_wrong_is_named(local: Registry, name: str, call: Any, said: str):
    with pytest.raises(PluginError) as caught:
        call(guarded(local, name))
    assert f"mixtures.m.curriculum: curriculum '{name}' (" in str(caught.value)
    assert "my_curricula" in str(caught.value)
    assert said in str(caught.value)


def test_an_unknown_curriculum_is_answered_with_the_nearest(local: Registry):
    with pytest.raises(NotFound, match=r"no curriculum 'lader'. Did you mean 'ladder'"):
        guarded(local, "lader")


def test_the_base_class_changes_nothing():
    c = Curriculum(None, [])
    c.observe([])
    c.load_state_dict({})
    options: Mapping[str, object] = c.options(0, 1, np.random.default_rng(0))
    assert (c.weights(1), options, c.metrics(), c.state_dict()) == (None, {}, {}, {})
