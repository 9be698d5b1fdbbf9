"""`evaluate`: the value of a Python expression, by our own hand and within limits.

No ``eval``: the syntax tree is walked, and what is not on the list is refused. Each operation is
counted, and what it would make is measured before it is made, so that neither ``9**9**9`` nor
``'a' * 10**9`` costs anything.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

MAX_TEXT = 400
"""Characters of an expression."""

MAX_STEPS = 500
"""Operations of an evaluation."""

MAX_SIZE = 1_000
"""Members of a sequence, characters of a text."""

MAX_BITS = 256
"""Bits of an integer."""


class Refused(ValueError):
    """No expression of the language, or one that goes beyond its limits."""


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.Not: operator.not_,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
}
_CALLS: dict[str, Callable[..., Any]] = {
    "len": len,
    "sum": sum,
    "min": min,
    "max": max,
    "abs": abs,
    "sorted": sorted,
    "str": str,
    "int": int,
}


def evaluate(text: str) -> Any:
    """Return the value of an expression over integers, booleans, texts and lists.

    Raises:
        Refused: it is no such expression, or beyond the limits.
    """
    return _Walk().value(_parsed(text))


def literal(text: str) -> Any:
    """Return the value of a literal: nothing in it is computed but a minus sign.

    Raises:
        Refused: it is none.
    """
    tree = _parsed(text)
    for node in ast.walk(tree):
        allowed = ast.Constant | ast.List | ast.UnaryOp | ast.USub | ast.Load
        if not isinstance(node, allowed):
            raise Refused(f"{type(node).__name__} is no part of a literal")
    return _Walk().value(tree)


def _parsed(text: str) -> ast.expr:
    text = text.strip()
    if len(text) > MAX_TEXT or "\n" in text:
        raise Refused(f"longer than {MAX_TEXT} characters, or than a line")
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        raise Refused("no Python expression") from exc


class _Walk:
    def __init__(self) -> None:
        self._steps = 0

    def value(self, node: ast.expr) -> Any:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise Refused(f"more than {MAX_STEPS} operations")
        try:
            return _checked(self._value(node))
        except (TypeError, ValueError, ZeroDivisionError, IndexError, RecursionError) as exc:
            raise Refused(str(exc)) from exc

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | str() as value):
                return value
            case ast.List(elts=members):
                return [self.value(each) for each in members]
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                return _UNARY[type(op)](self.value(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _operated(op, self.value(left), self.value(right))
            case ast.BoolOp(op=op, values=values):
                return self._either(values, isinstance(op, ast.Or))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
                return _COMPARE[type(op)](self.value(left), self.value(right))
            case ast.IfExp(test=test, body=body, orelse=otherwise):
                return self.value(body if self.value(test) else otherwise)
            case ast.Subscript(value=value, slice=ast.Slice(lower=low, upper=high, step=step)):
                bounds = [None if each is None else self.value(each) for each in (low, high, step)]
                return self.value(value)[slice(*bounds)]
            case ast.Subscript(value=value, slice=index):
                return self.value(value)[self.value(index)]
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _CALLS:
                return _CALLS[name](*map(self.value, args))
            case _:
                raise Refused(f"{type(node).__name__} is not in the language")

    def _either(self, values: list[ast.expr], until: bool) -> Any:
        value: Any = None
        for each in values:
            value = self.value(each)
            if bool(value) is until:
                break
        return value


def _operated(op: ast.operator, left: Any, right: Any) -> Any:
    """Operate, unless the result would be too large."""
    numbers = isinstance(left, int) and isinstance(right, int)
    if isinstance(op, ast.Pow):
        if not numbers or right < 0 or left.bit_length() * right > MAX_BITS:
            raise Refused("a power beyond the limits")
    elif isinstance(op, ast.Mult) and not numbers:
        count, many = (left, right) if isinstance(left, int) else (right, left)
        if (
            isinstance(many, str | list)
            and isinstance(count, int)
            and count * _size(many) > MAX_SIZE
        ):
            raise Refused("a repetition beyond the limits")
    elif isinstance(op, ast.Mod) and not numbers:
        raise Refused("formatting is not in the language")
    return _BINARY[type(op)](left, right)


def _size(many: str | list[Any]) -> int:
    return len(many)


def _checked(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise Refused(f"an integer of more than {MAX_BITS} bits")
    if isinstance(value, str | list) and len(value) > MAX_SIZE:
        raise Refused(f"more than {MAX_SIZE} members")
    return value
