"""Every general and language environment keeps the whole conformance suite, nothing switched off."""

from __future__ import annotations

import importlib
import json
import random
from pathlib import Path

import pytest

from palestra.envs import TextEnv
from palestra.plugins.specs import EnvironmentSpec
from palestra.testing import check_environment
from palestra_general.plugin import palestra_environments as general
from palestra_language.plugin import palestra_environments as language

SPECS = {spec.name: spec for spec in (*general(), *language())}
OF_A_FILE = "general/MultipleChoice-v1"


def made(spec: EnvironmentSpec, **kwargs: object) -> TextEnv:
    module, _, name = spec.entry_point.partition(":")
    env: TextEnv = getattr(importlib.import_module(module), name)(**{**spec.kwargs, **kwargs})
    env.env_id, env.reward_range = spec.name, spec.reward_range
    return env


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SPECS if name != OF_A_FILE])
def test_it_keeps_the_contract(name: str):
    check_environment(made(SPECS[name]), spec=SPECS[name])


@pytest.mark.slow
def test_multiple_choice_keeps_the_contract(tmp_path: Path):
    draw = random.Random(0)
    rows = []
    for number in range(900):
        a, b = draw.randint(10, 99), draw.randint(10, 99)
        options = [a + b + off for off in draw.sample(range(-5, 6), 4)]
        asked = f"Which comes nearest to {a} + {b}? (No. {number})"
        nearest = min(range(4), key=lambda i: abs(options[i] - a - b))
        rows.append({"question": asked, "choices": options, "answer": "ABCD"[nearest]})
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    check_environment(made(SPECS[OF_A_FILE], path=str(file)), spec=SPECS[OF_A_FILE])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name, spec in SPECS.items() if spec.has_reference and name != OF_A_FILE]
)
def test_ten_thousand_tasks_are_solved_by_their_references(name: str):
    env = made(SPECS[name])
    for seed in range(10_000):
        env.reset(seed=seed)
        assert env.task is not None
        _, reward, terminated, _, info = env.step(str(env.reference_completion(env.task)))
        assert (reward, terminated) == (1.0, True), info["task_id"]
