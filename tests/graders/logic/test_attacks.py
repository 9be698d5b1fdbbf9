"""Each attack of the catalogue earns 0 of each logic puzzle, quickly, and leaves nothing behind."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.graders.logic.attacks import ATTACKS, tags

from palestra.plugins.registry import get_registry

ENVS = (
    "logic/KnightsAndKnaves-v1",
    "logic/Boolean-v1",
    "logic/Sudoku-v1",
    "logic/Zebra-v1",
    "logic/Syllogism-v1",
    "logic/GraphColouring-v1",
    "logic/SAT-v1",
    "logic/Maze-v1",
    "logic/Planning-v1",
)
WORDS = {
    "logic/Boolean-v1": {"true": "false", "false": "true", "真": "假", "假": "真"},
    "logic/Syllogism-v1": {"yes": "no", "是": "否", "ja": "nein"},
}


def wrong_answer(env_id: str, right: str, seed: int) -> str:
    """An answer of the right form that is wrong: another task's, or the other word."""
    if env_id in WORDS:
        return WORDS[env_id].get(right, {"不确定": "是", "ungewiss": "ja"}.get(right, "yes"))
    other = get_registry().make_env(env_id)
    other.reset(seed=seed + 100)
    assert other.task is not None
    return str(other.task.reference)


def earned(env_id: str, seed: int, completion: str) -> float:
    env = get_registry().make_env(env_id)
    env.reset(seed=seed)
    total, ended = 0.0, False
    while not ended:
        since = time.perf_counter()
        _, reward, terminated, truncated, info = env.step(completion)
        assert time.perf_counter() - since < 2.0
        assert info["reward_valid"], info["reason"]
        total += reward + info["reward_components"].get("accuracy", 0.0)
        ended = terminated or truncated
    return total


@pytest.mark.parametrize("env_id", ENVS)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_earns_nothing(name: str, env_id: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        env = get_registry().make_env(env_id)
        env.reset(seed=seed)
        assert env.task is not None
        right = str(env.task.reference)
        completion = ATTACKS[name](right, wrong_answer(env_id, right, seed))
        assert earned(env_id, seed, completion) == 0.0, completion[:300]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("env_id", ENVS)
def test_the_same_answers_handed_in_honestly_are_paid_and_refused(env_id: str):
    """Else the attacks would fail for the wrong reason."""
    for seed in range(3):
        env = get_registry().make_env(env_id)
        env.reset(seed=seed)
        assert env.task is not None
        right = str(env.task.reference)
        assert earned(env_id, seed, tags(right)) == 2.0
        assert earned(env_id, seed, tags(wrong_answer(env_id, right, seed))) == 0.0


def test_each_attack_says_what_it_tries():
    assert len(ATTACKS) >= 25
    assert all(function.__doc__ for function in ATTACKS.values())
