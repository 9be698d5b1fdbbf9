"""Tools: calls are parsed, never evaluated; the state at the end is what counts."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palestra.envs import Task
from palestra_general.calculator import CalculatorEnv
from palestra_general.calendar import CalendarEnv
from palestra_general.evaluator import LONGEST, Refused, evaluate, shown
from palestra_general.function_calling import FunctionCallingEnv
from palestra_general.search import SearchEnv
from palestra_general.shop import ShopEnv
from palestra_general.tools import Call, ToolEnv, ToolError, calls_in, fits, schema, written


def call(name: str, **arguments: object) -> str:
    return written(Call(name=name, arguments=arguments))


def told(env: ToolEnv) -> list[Any]:
    """Return what the tools answered last, line by line."""
    return [json.loads(line) for line in env._messages[-1]["content"].splitlines()]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1+2*3", "7"),
        ("(1 + 2) * 3 / 4", "2.25"),
        ("1/3", "1/3"),
        ("0.1 + 0.2", "0.3"),
        ("-7 // 2", "-4"),
        ("7 % 4", "3"),
        ("2**10", "1024"),
        ("-1/8", "-0.125"),
        ("123456789 * 987654321", "121932631112635269"),
    ],
)
def test_the_calculator_is_exact(expression: str, value: str):
    assert shown(evaluate(expression)) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1/0",
        "9**9**9**9",
        "10**65",
        "__import__('os').system('true')",
        "(1).__class__",
        "[1][0]",
        "1 if 1 else 2",
        "True + 1",
        "'a' * 9",
        "f(1)",
        "1e999999999",
        "1; 2",
        "x",
        "lambda: 1",
        "(" * 150 + "1",
        "1" * (LONGEST + 1),
        "((10**60)**60)**60",
        "\x00",
    ],
)
def test_the_calculator_refuses_what_is_no_bounded_arithmetic(expression: str):
    with pytest.raises(Refused):
        evaluate(expression)


@given(st.integers(-999, 999), st.integers(-999, 999), st.sampled_from("+-*"))
def test_the_calculator_agrees_with_python(a: int, b: int, operation: str):
    expected = {"+": a + b, "-": a - b, "*": a * b}[operation]
    assert evaluate(f"{a} {operation} ({b})") == Fraction(expected)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "7",
        '{"name": 3}',
        '{"name": "f", "arguments": []}',
        '{"name": "f", "arguments": {}, "more": 1}',
        '{"name": "f", "arguments": {"a": NaN}}',
        "[" * 3_000,
        '{"name": "f", "arguments": {"a": "' + "x" * 5_000 + '"}}',
    ],
)
def test_what_is_no_call_is_said(body: str):
    with pytest.raises(ToolError, match="error: "):
        calls_in(f"<tool_call>{body}</tool_call>")


def test_calls_in_the_thoughts_are_not_made():
    assert calls_in(f"<think>{call('f')}</think> {call('g', a=1)}") == [
        Call(name="g", arguments={"a": 1})
    ]


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("add", {"a": 1, "b": "x"}, ""),
        ("ad", {"a": 1, "b": "x"}, "Did you mean 'add'?"),
        ("add", {"a": 1}, "needs the argument 'b'"),
        ("add", {"a": "1", "b": "x"}, "should be: integer"),
        ("add", {"a": True, "b": "x"}, "should be: integer"),
        ("add", {"a": 1, "b": "x", "c": 1}, "no 'c'"),
        ("\x1b[31m", {}, "no tool"),
    ],
)
def test_arguments_are_held_to_the_schema(name: str, arguments: dict[str, Any], problem: str):
    schemas = (schema("add", "Add.", a="integer", b="string"),)
    said = fits(Call(name=name, arguments=arguments), schemas)
    assert problem in said
    assert "\x1b" not in said
    assert bool(said) == bool(problem)


def test_the_calculator_is_asked_in_a_turn_of_its_own():
    env = CalculatorEnv()
    env.reset(seed=4)
    assert env.task is not None
    reference = env.task.reference
    _, reward, done, _, info = env.step(call("calculate", expression="12*12"))
    assert (reward, done, info["messages"][-1]["role"]) == (0.0, False, "tool")
    assert told(env) == ["144"]
    observation, *_ = env.step(call("calculate", expression="9**9**9"))
    assert observation.startswith("error: ")
    assert env.step(f"<answer>{reference}</answer>")[1:3] == (1.0, True)


def test_search_finds_the_way_through_the_corpus():
    """A policy that reads: question, machine, inventor, town, river."""
    env = SearchEnv()
    for seed in range(10):
        observation, _ = env.reset(seed=seed, options={"difficulty": 3})
        machine = observation.split("inventor of the ")[1].split(" was born")[0]
        env.step(call("search", query=machine))
        assert told(env)[0][0] == machine
        env.step(call("read", title=machine))
        inventor = told(env)[0].split("invented by ")[1].split(" in ")[0]
        env.step(call("read", title=inventor))
        town = told(env)[0].split("born in ")[1].split(" in ")[0]
        env.step(call("search", query=f"town of {town}") + call("read", title=town))
        river = told(env)[1].split("the river ")[1].rstrip(".")
        assert env.step(f"<answer>{river}</answer>")[1] == 1.0


def test_the_corpus_alone_knows_the_answer():
    env = SearchEnv()
    for seed in range(30):
        env.reset(seed=seed)
        assert env.task is not None
        assert str(env.task.reference) not in "".join(m["content"] for m in env.task.messages)
    env.step(call("read", title="No such article"))
    assert "no article" in env._messages[-1]["content"]


def test_a_calendar_is_changed_by_its_tools_alone():
    env = CalendarEnv()
    for seed in range(20):
        env.reset(seed=seed, options={"difficulty": 3})
        assert env.task is not None
        calls = [Call(**c) for c in env.task.metadata["calls"]]  # type: ignore[union-attr]
        for one in calls:  # a turn each
            assert env.step(written(one))[1:3] == (0.0, False)
        assert env.step("<answer>done</answer>")[1] == 1.0


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("list_events", {"day": "Sunday"}),
        ("move_event", {"number": 1, "day": "Monday", "start": "10:00"}),
        ("cancel_event", {"number": 10**30}),
        ("add_event", {"title": "x", "day": "Monday", "start": "25:00", "minutes": 5}),
        ("add_event", {"title": "x", "day": "Monday", "start": "10:00", "minutes": -5}),
        ("add_event", {"title": "x" * 500, "day": "Monday", "start": "10:00", "minutes": 5}),
    ],
)
def test_an_impossible_change_is_said_and_changes_nothing(name: str, arguments: dict[str, Any]):
    env = CalendarEnv()
    env.reset(seed=0)
    assert env.task is not None
    reference = env.reference_completion(env.task)
    observation, *_ = env.step(call(name, **arguments))
    assert observation.startswith("error: ")
    assert env.step(reference)[1] == 1.0


def test_what_ran_before_an_error_is_told():
    env = CalendarEnv()
    env.reset(seed=0)
    added = call("add_event", title="\ud800 x", day="Monday", start="10:00", minutes=5)
    observation, *_ = env.step(added + call("cancel_event", number=1) + added)
    first, second = observation.splitlines()
    assert json.loads(first)["title"] == "? x"  # and whoever stores it can encode it
    assert second == "error: no event 1"
    env.step(call("list_events", day="Monday"))
    assert [event["title"] for event in told(env)[0]].count("? x") == 1


def test_every_episode_begins_with_its_own_state():
    for cls in (CalendarEnv, ShopEnv):
        env = cls()
        env.reset(seed=5)
        assert isinstance(env.task, Task)
        reference = str(env.reference_completion(env.task))
        assert env.step(reference)[1] == 1.0
        env.reset(seed=5)
        assert env.step(reference)[1] == 1.0
        env.reset(seed=5)
        assert env.step(reference.rpartition("\n")[2])[1] == 0.0


def test_a_shop_takes_one_order_and_no_more_than_its_stock():
    env = ShopEnv()
    env.reset(seed=2)
    assert env.task is not None
    number = int(next(iter(env.task.metadata["wanted"])))  # type: ignore[call-overload]
    for quantity in (0, -1, 1000):
        said, *_ = env.step(call("add_to_cart", number=number, quantity=quantity))
        assert said.startswith("error: ")
    assert env.step(call("check_out"))[0].startswith("error: the cart is empty")
    env.step(call("add_to_cart", number=number, quantity=1))
    assert env.step(call("check_out"))[0] == '"ordered"'
    assert env.step(call("check_out"))[0].startswith("error: there was an order")


def test_function_calls_are_compared_as_a_set():
    env = FunctionCallingEnv()
    tried = 0
    for seed in range(60):
        env.reset(seed=seed, options={"difficulty": 3})
        assert env.task is not None
        calls = [Call(**c) for c in env.task.reference]  # type: ignore[union-attr]
        if not calls:
            assert env.grade(env.task, "<answer>None</answer>").value == 1.0
            assert env.grade(env.task, "").value == 0.0
            continue
        tried += 1
        assert env.grade(env.task, written(*reversed(calls))).value == 1.0
        assert env.grade(env.task, written(*calls[:-1])).value == 0.0
        assert env.grade(env.task, written(*calls, calls[0])).value == 0.0
        first = calls[0]
        key = next(iter(first.arguments))
        wrong = Call(name=first.name, arguments={**first.arguments, key: "elsewhere"})
        assert env.grade(env.task, written(wrong, *calls[1:])).value == 0.0
    assert 40 <= tried < 60


@pytest.mark.parametrize("cls", [CalculatorEnv, SearchEnv, CalendarEnv, ShopEnv])
def test_schemas_name_the_tools_that_there_are(cls: type[ToolEnv]):
    names = [str(s["function"]["name"]) for s in cls.schemas]  # type: ignore[index]
    assert names == [n for n in names if callable(getattr(cls, f"tool_{n}", None))]
