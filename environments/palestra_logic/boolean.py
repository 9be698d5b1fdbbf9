"""`logic/Boolean-v1`: is an expression of and, or, not, xor and if true?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np

from palestra.envs import Task
from palestra_logic.puzzle import PuzzleEnv

_NAMES = "pqrstuvw"
_TRUTH = {"en": ("false", "true"), "zh": ("假", "真")}
_VALUES = {"false": 0, "true": 1, "假": 0, "真": 1}
_WORDS = {
    "en": {"not": "not ", "and": " and ", "or": " or ", "xor": " xor ", "if": " implies "},
    "zh": {"not": "非", "and": "且", "or": "或", "xor": "异或", "if": "蕴含"},
}
_IS = {"en": "{name} is {value}", "zh": "{name}为{value}"}
_ASK = {
    "en": "{given}. Is {e} true or false?",
    "zh": "{given}。{e}是真还是假？",
}
_STEP = {"en": "{e} is {v}", "zh": "{e}是{v}"}

Expression = Any
"""A name, ``["not", e]``, or ``[operator, left, right]``: plain data, as tasks want it."""


class BooleanEnv(PuzzleEnv):
    """An expression over named truth values. Level n has 2n operators; half of all are true."""

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        language = "en" if rng.random() < 0.5 else "zh"
        names = sorted(str(n) for n in rng.choice(list(_NAMES), 2 + difficulty, False))
        target = int(rng.integers(2))
        while True:
            expression = _drawn(rng, 2 * difficulty, names)
            world = {name: int(rng.integers(2)) for name in names if name in _used(expression)}
            if evaluate(expression, world) == target:
                break
        comma = "，" if language == "zh" else ", "
        truth = _TRUTH[language]
        given = comma.join(_IS[language].format(name=n, value=truth[v]) for n, v in world.items())
        return Task(
            prompt=_ASK[language].format(given=given, e=_text(expression, language)),
            reference=truth[target],
            language=language,
            metadata={"expression": expression, "values": world},
        )

    def fits(self, task: Task, answer: str) -> bool:
        expression, world = _puzzle(task)
        return _VALUES.get(answer.casefold()) == evaluate(expression, world)

    def reasons(self, task: Task) -> list[str]:
        expression, world = _puzzle(task)
        language = task.language or "en"
        lines: list[str] = []

        def walk(part: Expression) -> int:
            if isinstance(part, str):
                return world[part]
            head, *rest = part
            values = [walk(inner) for inner in rest]
            value = _OPERATORS[head](*values)
            words = [_TRUTH[language][v] for v in values]
            line = _WORDS[language][head].join(words if len(words) == 2 else ["", *words])
            lines.append(_STEP[language].format(e=line, v=_TRUTH[language][value]))
            return value

        walk(expression)
        return lines

    def wrong_answers(self, task: Task) -> Iterable[str]:
        expression, world = _puzzle(task)
        words = _TRUTH[task.language or "en"]
        value = evaluate(expression, world)
        yield words[1 - value]
        yield " or ".join(words)
        yield f"not {words[1 - value]}"


_OPERATORS: Mapping[str, Any] = {
    "not": lambda a: 1 - a,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "if": lambda a, b: (1 - a) | b,
}


def evaluate(expression: Expression, world: Mapping[str, int]) -> int:
    """Return the truth value, 0 or 1, of an expression in a world."""
    if isinstance(expression, str):
        return world[expression]
    head, *rest = expression
    return _OPERATORS[head](*(evaluate(part, world) for part in rest))


def _drawn(rng: np.random.Generator, operators: int, names: list[str]) -> Expression:
    """Draw an expression of exactly so many operators."""
    if operators == 0:
        return names[int(rng.integers(len(names)))]
    if rng.random() < 0.2:
        return ["not", _drawn(rng, operators - 1, names)]
    left = int(rng.integers(operators))
    head = ("and", "or", "xor", "if")[int(rng.integers(4))]
    return [head, _drawn(rng, left, names), _drawn(rng, operators - 1 - left, names)]


def _used(expression: Expression) -> set[str]:
    if isinstance(expression, str):
        return {expression}
    return set[str]().union(*(_used(part) for part in expression[1:]))


def _text(expression: Expression, language: str) -> str:
    if isinstance(expression, str):
        return expression
    head, *rest = expression
    inner = [_text(part, language) for part in rest]
    if head == "not":
        return f"({_WORDS[language]['not']}{inner[0]})"
    return f"({_WORDS[language][head].join(inner)})"


def _puzzle(task: Task) -> tuple[Expression, dict[str, int]]:
    return task.metadata["expression"], cast("dict[str, int]", task.metadata["values"])
