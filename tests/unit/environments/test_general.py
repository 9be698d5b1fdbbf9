"""`general/Instructions-v1`: each instruction is followed by exactly one answer."""

from __future__ import annotations

import re

import pytest
from gymnasium.utils.env_checker import check_env

from palestra.envs import SPLITS, Task
from palestra.rewards.format import is_strict
from palestra.rewards.language import chain_of_thought, language_share
from palestra_general.instructions import InstructionsEnv

TIMES = {"two": 2, "three": 3, "four": 4, "five": 5, "两": 2, "三": 3, "四": 4, "五": 5}


def answer(text: object) -> str:
    return f"<think>x</think><answer>{text}</answer>"


def drawn(level: int, language: str, count: int = 120) -> list[Task]:
    tasks = []
    for seed in range(count):
        env = InstructionsEnv()
        env.env_id = "general/Instructions-v1"
        env.reset(
            seed=seed,
            options={"difficulty": level, "language": language, "split": SPLITS[seed % 3]},
        )
        assert env.task is not None
        tasks.append(env.task)
    return tasks


def followed(prompt: str) -> str:
    """Follow the instruction, from its words alone."""
    if found := re.fullmatch(r"Say (\w+) (\w+) times\.", prompt):
        return " ".join([found[1]] * TIMES[found[2]])
    if found := re.fullmatch(r"说(.)次(.)。", prompt):
        return " ".join([found[2]] * TIMES[found[1]])
    found = re.fullmatch(
        r"(?:Write (\S+) (\S+) (\S+) backwards\.|倒着写(\S+) (\S+) (\S+)。)", prompt
    )
    assert found is not None, prompt
    words = [w for w in found.groups() if w]
    return " ".join(reversed(words))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("level", [1, 2])
def test_the_reference_follows_the_instruction_and_earns_one(level: int, language: str):
    env = InstructionsEnv()
    for task in drawn(level, language):
        assert task.reference == followed(str(task.prompt))
        completion = env.reference_completion(task)
        assert is_strict(completion)
        assert language_share(chain_of_thought(completion), language) == 1.0
        assert env.grade(task, completion).components == {"accuracy": 1.0, "lenient_accuracy": 1.0}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("level", [1, 2])
def test_anything_else_earns_nothing(level: int, language: str):
    env = InstructionsEnv()
    for task in drawn(level, language, 60):
        right = str(task.reference)
        words = right.split()
        wrongs = [
            "",
            " ".join(words[:-1]),
            " ".join([*words, words[0]]),
            right + " !",
            "".join(words) if len(words) > 1 else "x",
            str(task.prompt),
        ]
        if level == 2:
            wrongs.append(" ".join(reversed(words)))
        for wrong in wrongs:
            assert env.grade(task, answer(wrong)).components["accuracy"] == 0.0
        assert env.grade(task, right).components == {"accuracy": 0.0, "lenient_accuracy": 1.0}


def test_white_space_between_the_words_is_free():
    for task in drawn(2, "en", 10):
        written = "\n".join(str(task.reference).split())
        assert InstructionsEnv().grade(task, answer(written)).value == 1.0


def test_words_of_one_instruction_differ():
    """Else forwards and backwards could be the same."""
    for task in drawn(2, "zh"):
        words = str(task.reference).split()
        assert len(set(words)) == 3


def test_it_passes_gymnasiums_checker():
    check_env(InstructionsEnv(), skip_render_check=True)
