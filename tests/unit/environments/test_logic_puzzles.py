"""The generated logic puzzles: right answers earn 1 however people write them, no other does."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palestra.envs import TextEnv
from palestra.plugins.registry import get_registry
from palestra.rewards.format import is_strict
from palestra.rewards.language import chain_of_thought, language_share

SINGLE = (
    "logic/KnightsAndKnaves-v1",
    "logic/Boolean-v1",
    "logic/Sudoku-v1",
    "logic/Zebra-v1",
    "logic/Syllogism-v1",
    "logic/GraphColouring-v1",
    "logic/SAT-v1",
)
SEVERAL = ("logic/Maze-v1", "logic/Planning-v1")


def begun(env_id: str, seed: int, **options: object) -> TextEnv:
    env = get_registry().make_env(env_id)
    env.reset(seed=seed, options=options or None)
    assert env.task is not None
    return env


def answer(text: object) -> str:
    return f"<think>x</think><answer>{text}</answer>"


def reward(env_id: str, seed: int, completion: str, **options: object) -> float:
    """What a completion earns, sent on every turn."""
    env = begun(env_id, seed, **options)
    total, ended = 0.0, False
    while not ended:
        _, value, terminated, truncated, info = env.step(completion)
        assert info["reward_valid"], info["reason"]
        total, ended = total + value, terminated or truncated
    return total


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("env_id", SINGLE + SEVERAL)
def test_references_earn_one_in_format_and_language(env_id: str, level: int):
    for seed in range(12):
        env = begun(env_id, seed, difficulty=level)
        task = env.task
        assert task is not None
        completion = env.reference_completion(task)
        assert completion is not None
        assert is_strict(completion)
        if task.language == "zh":
            assert language_share(chain_of_thought(completion), "zh") == 1.0
        assert reward(env_id, seed, completion, difficulty=level) == 1.0
        assert reward(env_id, seed, answer(task.reference), difficulty=level) == 1.0


@pytest.mark.parametrize("env_id", SINGLE + SEVERAL)
def test_the_cheats_of_each_puzzle_earn_nothing(env_id: str):
    for seed in range(8):
        env = begun(env_id, seed)
        assert env.task is not None
        probes = list(env.probes(env.task))
        assert len(probes) >= 4
        for probe in probes:
            assert reward(env_id, seed, probe) == 0.0, probe


@pytest.mark.parametrize("env_id", SINGLE + SEVERAL)
def test_tasks_are_plain_data_and_each_language_is_drawn(env_id: str):
    languages = set()
    for seed in range(40):
        task = begun(env_id, seed).task
        assert task is not None
        assert json.loads(json.dumps(dict(task.metadata))) == dict(task.metadata)
        if env_id not in ("logic/Boolean-v1", "logic/Syllogism-v1"):  # they name the choices
            assert str(task.reference) not in str(task.prompt)
        languages.add(task.language)
    assert {"en", "zh"} <= languages


@pytest.mark.parametrize("env_id", SINGLE + SEVERAL)
@given(text=st.text(alphabet=st.characters(codec=None), max_size=60))
@settings(max_examples=40, deadline=None)
def test_no_text_breaks_a_grader(env_id: str, text: str):
    assert reward(env_id, 3, answer(f"7 {text}")) == 0.0


@pytest.mark.parametrize("env_id", SINGLE + SEVERAL)
@pytest.mark.parametrize(
    "text",
    ["1," * 400_000, "A: " * 300_000, "①" * 900_000, "<answer>" * 100_000, "\ud800", "R" * 1999],
)
def test_hostile_answers_are_wrong_and_quick(env_id: str, text: str):
    assert reward(env_id, 0, answer(text)) == 0.0


@pytest.mark.parametrize("env_id", SINGLE)
def test_lenient_accuracy_pays_an_answer_without_tags_and_accuracy_does_not(env_id: str):
    env = begun(env_id, 1, difficulty=1)
    assert env.task is not None
    one_line = "; ".join(str(env.task.reference).splitlines())
    if env_id == "logic/Sudoku-v1":
        one_line = one_line.replace("; ", " ")
    info = env.step(f"I think\n{one_line}")[4]
    assert info["reward_components"] == {"accuracy": 0.0, "lenient_accuracy": 1.0}
    assert info["reward_status"] == "unparsable"


@pytest.mark.parametrize(
    ("env_id", "rewrite"),
    [
        ("logic/KnightsAndKnaves-v1", lambda r: r.replace(": ", " is a ")),
        ("logic/KnightsAndKnaves-v1", lambda r: r.upper().replace(", ", "\n")),
        ("logic/Boolean-v1", lambda r: f" {r.capitalize()}. "),
        ("logic/Sudoku-v1", lambda r: " ".join(r)),
        (
            "logic/Sudoku-v1",
            lambda r: r.replace("\n", "").translate({48 + d: 0xFF10 + d for d in range(10)}),
        ),
        ("logic/Zebra-v1", lambda r: r.replace(":", ".").upper()),
        ("logic/Zebra-v1", lambda r: "; ".join(f"House {line}" for line in r.splitlines())),
        ("logic/GraphColouring-v1", lambda r: r.replace(": ", "=")),
        ("logic/GraphColouring-v1", lambda r: " and ".join(reversed(r.split(", ")))),
        ("logic/SAT-v1", lambda r: r.replace("true", "T").replace("false", "F")),
        ("logic/SAT-v1", lambda r: r.replace(": ", " = ")),
        ("logic/Maze-v1", lambda r: r.replace(", ", "")),
        ("logic/Maze-v1", lambda r: r.lower().replace(", ", "->")),
        (
            "logic/Planning-v1",
            lambda r: ", ".join(f"move {m.replace(' to ', ' onto ')}" for m in r.split(", ")),
        ),
        ("logic/Planning-v1", lambda r: r.replace("table", "the table").replace(", ", "\n")),
    ],
)
def test_an_answer_may_be_written_as_people_do(env_id: str, rewrite):
    for seed in range(6):
        env = begun(env_id, seed, language="en")
        assert env.task is not None
        written = rewrite(str(env.task.reference))
        assert reward(env_id, seed, answer(written), language="en") == 1.0, written


def test_another_colouring_is_as_right_as_the_planted_one():
    env_id = "logic/GraphColouring-v1"
    for seed in range(10):
        task = begun(env_id, seed, language="en").task
        assert task is not None
        turned = str(task.reference)
        for old, new in (("red", "*"), ("green", "red"), ("*", "green")):
            turned = turned.replace(f": {old}", f": {new}")
        assert turned != task.reference
        assert reward(env_id, seed, answer(turned), language="en") == 1.0


def test_two_answers_are_wrong_even_when_thoughts_are_opened_between_them():
    for env_id, other in (("logic/Boolean-v1", "maybe"), ("logic/Syllogism-v1", "perhaps")):
        task = begun(env_id, 0).task
        assert task is not None
        right = answer(task.reference)
        assert reward(env_id, 0, f"{answer(other)}{right}") == 0.0
        assert reward(env_id, 0, f"{answer(other)}<answer>{task.reference}</answer>") == 0.0
        assert reward(env_id, 0, f"{right}{right}") == 1.0


# -- several turns ------------------------------------------------------------------------------


def test_a_maze_may_be_walked_in_several_turns():
    env = begun("logic/Maze-v1", 5, difficulty=3, language="en")
    assert env.task is not None
    way = str(env.task.metadata["way"])
    observation, value, terminated, truncated, _ = env.step(answer(way[:4]))
    assert (value, terminated, truncated) == (0.0, False, False)
    assert observation.startswith("4 moves made. You are in row")
    observation, value, terminated, truncated, info = env.step(answer(way[4:]))
    assert (observation, value, terminated, truncated) == ("Solved.", 1.0, True, False)
    assert info["reward_components"] == {"accuracy": 1.0, "lenient_accuracy": 1.0}


def test_a_walk_into_a_wall_moves_nobody_and_says_which_step_it_was():
    for seed in range(10):
        env = begun("logic/Maze-v1", seed, language="en")
        assert env.task is not None
        way = str(env.task.metadata["way"])
        back = {"U": "D", "D": "U", "L": "R", "R": "L"}
        wandering = way[0] + (back[way[0]] + way[0]) * 3 + "U" * 12
        if len(wandering) > int(str(env.task.metadata["allowance"])):
            told = env.step(answer(wandering))[0]
            assert told.startswith("You have")
        else:
            told = env.step(answer(wandering))[0]
            assert "is not possible" in told
        assert env.step(answer(way))[1] == 1.0  # it still starts at S


def test_moves_run_out():
    env = begun("logic/Maze-v1", 2, difficulty=1, language="en")
    assert env.task is not None
    way, left = str(env.task.metadata["way"]), int(str(env.task.metadata["allowance"]))
    back = {"U": "D", "D": "U", "L": "R", "R": "L"}
    ended = False
    while left and not ended:
        step = way[0] + back[way[0]] if left > 1 else way[0]
        left -= len(step)
        ended = env.step(answer(step))[2]
    assert ended
    assert env.task is None


def test_a_maze_that_nobody_solves_is_truncated_after_eight_turns():
    env = begun("logic/Maze-v1", 2)
    for turn in range(1, 9):
        _, value, terminated, truncated, info = env.step("no idea")
        assert (value, terminated, truncated) == (0.0, False, turn == 8)
    assert info["reward_components"] == {"accuracy": 0.0, "lenient_accuracy": 0.0}


def test_blocks_are_moved_in_several_turns_and_a_bad_plan_can_be_mended():
    env = begun("logic/Planning-v1", 4, difficulty=4, language="en")
    assert env.task is not None
    plan = str(env.task.reference).split(", ")
    told = env.step(answer(", ".join([*plan[:2], "Q to Q"])))[0]
    assert told == "Move 3 is not possible, so none of these moves was made."
    told = env.step(answer(", ".join(plan[:2])))[0]
    assert told.startswith("2 moves made. The stacks are ")
    assert env.step(answer(", ".join(plan[2:])))[1] == 1.0
