"""The mirror into Gymnasium, and what plugin authors test with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

from palestra import Score, SingleTurnEnv, Task
from palestra.plugins.registry import get_registry, reset_registry
from palestra.testing import check_environment

MY_ENV = Path(__file__).parents[2] / "examples" / "my_env.py"
BUILT_IN = ["math/Arithmetic-v1", "logic/Ordering-v1", "general/Instructions-v1"]


class Right(SingleTurnEnv):
    """An environment that keeps the contract; the others break one part of it."""

    env_id = "test/Right-v1"
    earned, drawn = 1.0, 0

    def sample(self, rng, difficulty):
        return Task(prompt=f"Say {rng.integers(1000)}.", reference="yes")

    def grade(self, task, completion):
        return self.earned if "yes" in completion else 0.0


class Stingy(Right):
    earned = 0.5


class Generous(Right):
    def grade(self, task, completion):
        return 1.0


class Fickle(Right):
    def sample(self, rng, difficulty):
        self.drawn += 1
        return Task(prompt=f"Say {rng.integers(1000)} or {self.drawn}.", reference="yes")


class Failing(Right):
    def grade(self, task, completion):
        return Score(value=1.0) if completion.strip() else 1 / 0


def test_a_fresh_process_makes_an_environment_by_its_id():
    code = (
        "import gymnasium\n"
        "env = gymnasium.make('palestra.gym:math/Arithmetic-v1')\n"
        "assert env.spec.max_episode_steps is None\n"
        "env.reset(seed=1)\n"
        "_, _, terminated, truncated, _ = env.step('')\n"
        "assert (terminated, truncated) == (True, False)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("env_id", BUILT_IN)
def test_built_in_environments_keep_the_contract(env_id: str):
    check_environment(env_id)
    assert gymnasium.make(f"palestra.gym:{env_id}").unwrapped.env_id == env_id


def test_the_example_of_a_local_file_keeps_the_contract():
    try:
        get_registry().add_local(MY_ENV)
        check_environment("acme/Add-v1")
    finally:
        reset_registry()


def test_an_id_that_gymnasium_refuses_is_left_out(monkeypatch: pytest.MonkeyPatch):
    from palestra import gym

    for env_id in BUILT_IN:
        gymnasium.registry.pop(env_id, None)

    def register(id: str, **kwargs: object) -> None:
        if id == BUILT_IN[0]:
            raise gymnasium.error.Error("malformed")

    monkeypatch.setattr(gymnasium, "register", register)
    added = gym.mirror()
    assert BUILT_IN[0] not in added
    assert BUILT_IN[1] in added
    monkeypatch.undo()
    assert BUILT_IN[0] in gym.mirror()


def test_check_environment_passes_a_right_one():
    check_environment(Right())


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Stingy(), r"test/Right-v1, seed 0: the reference completion earned 0.5, not 1"),
        (Generous(), "an empty completion earned 1"),
        (Fickle(), "the same seed gave two tasks|Deterministic|not deterministic|seed"),
        (Failing(), "an empty completion got no verdict: .*ZeroDivisionError"),
    ],
)
def test_check_environment_says_what_is_wrong(env: Right, message: str):
    with pytest.raises(AssertionError, match=message):
        check_environment(env)
