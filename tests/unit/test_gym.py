"""The mirror into Gymnasium, and what plugin authors test with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

from palestra.plugins.registry import get_registry, reset_registry
from palestra.testing import check_environment

MY_ENV = Path(__file__).parents[2] / "examples" / "my_env.py"
BUILT_IN = ["math/Arithmetic-v1", "logic/Ordering-v1", "general/Instructions-v1"]


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
