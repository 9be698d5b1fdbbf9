"""When two expressions are the same answer: equal in value, and as far worked out.

An answer may not leave more to be worked out than the reference does: where 42 is asked for,
``12+30`` restates the question, and ``6!`` is no 720. Only the operations that remain count, so
``6/4`` is 3/2, ``1/sqrt(2)`` is ``sqrt(2)/2``, and ``4.2 * 10^1`` is 42.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from typing import TypeVar

from palestra_math.exact import NotRational, Point, Undefined, close, is_real, numeric, rational
from palestra_math.expression import Apply, Expr, Number, Symbol, symbols

_T = TypeVar("_T")

ROUNDED_PLACES = 6
"""A decimal may stand for a number that has no finite decimal from so many places on."""

_POINTS = 8
_TRIG = frozenset(["sin", "cos", "tan", "cot", "sec", "csc", "degree"])
_INVERSE = frozenset(["arcsin", "arccos", "arctan"])


def equal(reference: Expr, answer: Expr) -> bool:
    """Whether two expressions have the same value, wherever the reference has a real one."""
    if reference == answer:
        return True
    if symbols(reference) | symbols(answer):
        return _same_function(reference, answer)
    try:
        left, right = _value(reference), _value(answer)
        if isinstance(left, Fraction) and isinstance(right, Fraction):
            return left == right or _rounds(reference, answer) or _rounds(answer, reference)
        return (
            close(numeric(reference), numeric(answer))
            or _rounds(reference, answer)
            or _rounds(answer, reference)
        )
    except Undefined:
        return False


def proportional(left: Expr, right: Expr) -> Fraction | None:
    """Return the constant c with ``left = c * right`` everywhere, or None where there is none."""
    ratio: Fraction | None = None
    for point in points(left, right):
        try:
            a, b = rational(left, point), rational(right, point)
        except (NotRational, Undefined):
            return Fraction(1) if equal(left, right) else None
        if a == 0 or b == 0 or (ratio is not None and a / b != ratio):
            return None
        ratio = a / b
    return ratio


def worked_out(reference: Expr, answer: Expr) -> bool:
    """Whether `answer` leaves no operation to do that `reference` has done."""
    done = open_work(reference)
    if done:  # it is irrational, or not worked out: how roots are written is free
        done |= {"root"}
    return open_work(answer) <= done


def open_work(tree: Expr) -> frozenset[str]:
    """Return the kinds of operations on constants that are still to be done."""
    match tree:
        case Number() | Symbol():
            return frozenset()
        case Apply(name, args):
            below = frozenset[str]().union(*map(open_work, args))
            if symbols(tree) or _is_numeral(tree):
                return below
            return below | _own_work(tree, name, args)


def _own_work(tree: Expr, name: str, args: tuple[Expr, ...]) -> frozenset[str]:
    if name == "+":
        return frozenset(("sum",)) if _constants(tree, "+") > 1 else frozenset()
    if name in ("*", "/"):
        return frozenset(("product",)) if _constants(tree, "*") > 1 else frozenset()
    if name == "^" and all(_rational(a) is not None for a in args):
        return frozenset(("power",)) if _rational(tree) is not None else frozenset(("root",))
    if name in ("sqrt", "root"):
        return frozenset(("root",)) if _rational(tree) is None else frozenset(("root", "square"))
    if name in ("neg", "^"):
        return frozenset()
    if name in _TRIG:
        return frozenset(("trigonometry",))
    if name in _INVERSE:
        return frozenset(("inverse trigonometry",))
    return frozenset(("log" if name in ("ln", "log") else name,))


def _constants(tree: Expr, over: str) -> int:
    """Count the rational terms of a sum (or whole factors of a product) that could be one."""
    match tree:
        case Apply("+", args) if over == "+":
            return sum(_constants(a, over) for a in args)
        case Apply("*", args) if over == "*":
            return sum(_constants(a, over) for a in args)
        case Apply("neg", (a,)):
            return _constants(a, over)
        case Apply("/", (a, b)) if over == "*":
            above = _constants(a, over)
            if _is_integer(a) and _is_integer(b):
                return 1
            return above + max(_constants(b, over) - 1, 0)
        case _:
            return int(_rational(tree) is not None)


def _is_numeral(tree: Expr) -> bool:
    """Whether this is how a number is written: -7, 3/4, 4.2 * 10^1."""
    match tree:
        case Number():
            return True
        case Apply("neg", (a,)):
            return _is_numeral(a)
        case Apply("/", (a, b)):
            return _is_integer(a) and _is_integer(b)
        case Apply("^", (Number(Fraction(numerator=10, denominator=1)), exponent)):
            return _is_integer(exponent)
        case Apply("*", (Number(), Apply("^", _) as power)):
            return _is_numeral(power)
        case _:
            return False


def _is_integer(tree: Expr) -> bool:
    match tree:
        case Number():
            return True
        case Apply("neg", (a,)):
            return _is_integer(a)
        case _:
            return False


def _rational(tree: Expr) -> Fraction | None:
    try:
        return rational(tree)
    except (NotRational, Undefined):
        return None


def _value(tree: Expr) -> Fraction | None:
    try:
        return rational(tree)
    except NotRational:
        return None


def _rounds(exact: Expr, decimal: Expr) -> bool:
    """Whether `decimal` is `exact` rightly rounded, where `exact` has no finite decimal."""
    if isinstance(decimal, Apply) and decimal.name == "neg":
        return _rounds(Apply("neg", (exact,)), decimal.args[0])
    if not isinstance(decimal, Number) or (decimal.places or 0) < ROUNDED_PLACES:
        return False
    value, half = _value(exact), Fraction(1, 2 * 10 ** (decimal.places or 0))
    if value is None:
        number = numeric(exact)
        return is_real(number) and bool(abs(number - numeric(decimal)) <= numeric(Number(half)))
    below = value.denominator
    for prime in (2, 5):
        while below % prime == 0:
            below //= prime
    return below != 1 and abs(value - decimal.value) <= half


def points(left: Expr, right: Expr) -> list[Point]:
    """Return points to compare two expressions at: nobody chooses them, and they are the same
    for the same two."""
    names = sorted(symbols(left) | symbols(right))
    text = f"{left!r}|{right!r}".encode()
    found: list[Point] = []
    for number in range(_POINTS):
        point: dict[str, Fraction] = {}
        for name in names:
            digest = hashlib.sha256(b"%d|%s|%s" % (number, name.encode(), text)).digest()
            size = Fraction(int.from_bytes(digest[:4], "big") % 9_973 + 1, 1_009)
            if number == 0:
                size /= 12  # between 0 and 1
            point[name] = -size if number >= 5 and digest[4] % 2 else size
        found.append(point)
    return found


def _same_function(reference: Expr, answer: Expr) -> bool:
    try:
        return _agree(reference, answer, rational, lambda a, b: a == b)
    except NotRational:
        return _agree(reference, answer, numeric, close, is_real)


def _agree(
    reference: Expr,
    answer: Expr,
    value: Callable[[Expr, Point], _T],
    same: Callable[[_T, _T], bool],
    counts: Callable[[_T], bool] = lambda _: True,
) -> bool:
    agreed = 0
    complex_agreed = True
    for point in points(reference, answer):
        try:
            expected = value(reference, point)
        except Undefined:
            continue
        try:
            agrees = same(expected, value(answer, point))
        except Undefined:
            agrees = False
        if counts(expected):
            if not agrees:
                return False
            agreed += 1
        complex_agreed = complex_agreed and agrees
    return agreed >= 2 or complex_agreed
