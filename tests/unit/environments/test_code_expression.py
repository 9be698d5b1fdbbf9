"""`code/Expression-v1`: our evaluator says what Python says, or nothing, and never for long."""

from __future__ import annotations

import time

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from palestra.envs import Task
from palestra_code.evaluator import Refused, evaluate, literal
from palestra_code.expression import ExpressionEnv, worked


def make() -> ExpressionEnv:
    env = ExpressionEnv()
    env.env_id = "code/Expression-v1"
    return env


def drawn(level: int, count: int) -> list[Task]:
    env = ExpressionEnv()
    rng = np.random.default_rng(level)
    return [env.sample(rng, level) for _ in range(count)]


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_the_reference_is_pythons_value_and_earns_all(level: int) -> None:
    env = make()
    for task in drawn(level, 2_000):
        expression = str(task.metadata["expression"])
        assert repr(eval(expression)) == task.reference
        assert env.grade(task, env.reference_completion(task)).value == 1.0
        assert len(env.reference_completion(task)) < 250


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_every_step_of_the_working_is_true_and_the_last_one_is_the_answer(level: int) -> None:
    for task in drawn(level, 500):
        steps = worked(str(task.metadata["expression"]))
        assert all(repr(eval(text)) == value for text, value in steps)
        assert steps[-1][1] == task.reference


def test_the_working_goes_from_the_inside_out() -> None:
    assert worked("(3+4)*2-5") == [("3+4", "7"), ("7*2", "14"), ("14-5", "9")]
    assert worked("2-3*4") == [("3*4", "12"), ("2-12", "-10")]
    assert worked("8 if 3<2 else 4") == [
        ("3 < 2", "False"),
        ("8 if False else 4", "4"),
    ]
    assert worked("2*3 if 1 in [1, 2] else 9*9") == [("1 in [1, 2]", "True"), ("2*3", "6")]
    assert worked("7") == [("7", "7")]


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_cheats_earn_nothing(level: int) -> None:
    env = make()
    for task in drawn(level, 200):
        for probe in env.probes(task):
            assert env.grade(task, probe).value == 0.0, (task, probe)


def test_an_answer_of_another_type_is_another_answer() -> None:
    env = make()
    for reference, answer in (
        ("True", "1"),
        ("1", "True"),
        ("'a'", "a"),
        ("[1]", "(1,)"),
        ("12", "'12'"),
        ("12", "12.0"),
        ("12", "3*4"),
        ("12", "12 13"),
    ):
        task = Task(prompt="x", reference=reference)
        assert env.grade(task, f"<think>x</think><answer>{answer}</answer>").value == 0.0
        assert env.grade(task, f"<think>x</think><answer> {reference} </answer>").value == 1.0


numbers = st.integers(0, 20).map(str)
expressions = st.recursive(
    numbers,
    lambda s: (
        st.tuples(
            s, st.sampled_from(["+", "-", "*", "//", "%", "**", "<", "==", "and", "or", "in"]), s
        ).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
        | st.lists(s, max_size=3).map(lambda m: f"[{', '.join(m)}]")
        | s.map(lambda e: f"sorted([{e}])")
        | s.map(lambda e: f"not {e}")
        | st.tuples(s, s).map(lambda t: f"[{t[0]}, 7][{t[1]}]")
    ),
    max_leaves=8,
)


@given(expressions)
def test_what_it_evaluates_python_evaluates_alike(expression: str) -> None:
    try:
        value = evaluate(expression)
    except Refused:
        return
    assert repr(value) == repr(eval(expression))


@pytest.mark.parametrize(
    "bomb",
    [
        "9**9**9",
        "9" * 399,
        "'a'*10**9",
        "[0]*999*999",
        "(" * 300,
        "2**-1",
        "'%999999999d' % 1",
        "__import__('os')",
        "().__class__",
        "[x for x in [1]]",
        "lambda: 1",
        "open('x')",
        "1/2",
        "f'{1}'",
        "a",
        "1 if",
        "\udc80",
        "\x00",
        "int('9'*400)",
        "str(9**80)*9",
        "x" * 10_000_000,
        "sum([[1]])",
        "{}",
        "len(1)",
    ],
    ids=lambda text: text[:15].encode("unicode_escape").decode(),
)
def test_what_is_not_in_the_language_is_refused_at_once(bomb: str) -> None:
    begun = time.process_time()
    with pytest.raises(Refused):
        evaluate(bomb)
    with pytest.raises(Refused):
        literal(bomb)
    assert time.process_time() - begun < 1.0


def test_it_is_a_gymnasium_environment() -> None:
    check_env(make(), skip_render_check=True)
