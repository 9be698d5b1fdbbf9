"""The cases of a problem: what `run_tests` is given, read and checked before a program runs."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from palestra.errors import DataError, did_you_mean
from palestra_code import plain
from palestra_code.judge import free_names


@dataclass(frozen=True, slots=True)
class OutputCase:
    """A script's input, and what it has to write (competition)."""

    stdin: str
    stdout: str


@dataclass(frozen=True, slots=True)
class CallCase:
    """A call, and what it has to return (LiveCodeBench); `expected` never leaves this process."""

    function: str
    args: bytes
    kwargs: bytes
    expected: Any


@dataclass(frozen=True, slots=True)
class CodeCase:
    """Trusted code that calls the program: asserts (MBPP), or a ``check(candidate)`` (HumanEval).

    Attributes:
        code: the code; asserts where `entry_point` is empty.
        entry_point: the program's function that ``check`` gets.
        calls: names that the program has to define.
    """

    code: str
    entry_point: str
    calls: frozenset[str]


Case = OutputCase | CallCase | CodeCase

_KINDS: dict[str, tuple[str, ...]] = {
    "stdin": ("stdin", "stdout"),
    "function": ("function", "args", "kwargs", "expected"),
    "assert": ("assert",),
    "check": ("check", "entry_point"),
}
_OPTIONAL = ("args", "kwargs")


def read_cases(tests: Sequence[Mapping[str, object]]) -> list[Case]:
    """Return the cases of `tests`, whose forms `run_tests` lists.

    Raises:
        DataError: there are none, or one has no known form; says which, and what is wrong.
    """
    if not tests:
        raise DataError("a problem without tests: every program would pass")
    return [_read(number, test) for number, test in enumerate(tests, start=1)]


def _read(number: int, test: Mapping[str, object]) -> Case:
    kind = next((kind for kind in _KINDS if kind in test), None)
    if kind is None:
        forms = "; ".join(", ".join(keys) for keys in _KINDS.values())
        raise DataError(f"test {number}: has {', '.join(test) or 'nothing'}, not one of: {forms}")
    known = _KINDS[kind]
    for key in test:
        if key not in known:
            raise DataError(f"test {number}: unknown field '{key}'.{did_you_mean(key, known)}")
    for key in known:
        if key not in test and key not in _OPTIONAL:
            raise DataError(f"test {number}: no field '{key}' beside '{kind}'")
    if kind == "function":
        return _call(number, test)
    texts = [test[key] for key in known]
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f"test {number}: {', '.join(known)}: text is expected")
    first, *rest = cast("list[str]", texts)
    if kind == "stdin":
        return OutputCase(first, rest[0])
    tree = _parsed(number, kind, first)
    if rest:
        return CodeCase(first, rest[0], frozenset(rest))
    return CodeCase(first, "", frozenset(free_names(tree)))


def _call(number: int, test: Mapping[str, object]) -> CallCase:
    args, kwargs = test.get("args", []), test.get("kwargs", {})
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict):
        raise DataError(f"test {number}: 'args' is a list, and 'kwargs' a dict")
    if not isinstance(test["function"], str):
        raise DataError(f"test {number}: 'function' is a name")
    try:
        plain.dumps(test["expected"])
        packed = plain.dumps(tuple(cast("list[Any]", args))), plain.dumps(kwargs)
    except plain.NotPlain as exc:
        raise DataError(f"test {number}: holds {exc}: only plain data can be compared") from None
    return CallCase(test["function"], *packed, test["expected"])


def _parsed(number: int, kind: str, code: str) -> ast.Module:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError) as exc:
        raise DataError(f"test {number}: its code is no Python: {exc}") from exc
    if kind == "assert" and not any(isinstance(node, ast.Assert) for node in ast.walk(tree)):
        raise DataError(f"test {number}: 'assert' holds no assert statement")
    if kind == "check" and "check" not in {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef)
    }:
        raise DataError(f"test {number}: 'check' defines no function check(candidate)")
    return tree
