"""Whether what a program gave is what was expected: types, counts and lengths count."""

from __future__ import annotations

from typing import Any, cast


def identical(value: object, expected: object) -> bool:
    """Whether two pieces of plain data are the same, of the same types throughout.

    ``True`` is not ``1``, ``1`` is not ``1.0``, and a tuple is no list. NaN is NaN: a reference
    that says so means it.
    """
    return _same(value, expected, exact=True)


def equal(value: object, expected: object) -> bool:
    """Whether ``value == expected`` as Python has it, but that a bool is no number.

    The tests of benchmarks were written with ``==``: ``2`` passes for ``2.0``. ``1`` for ``True``
    is what a program returns that guesses.
    """
    return _same(value, expected, exact=False)


def same_output(output: bytes, expected: str) -> bool:
    """Whether a program wrote the expected lines; blanks at the ends of lines do not count."""
    try:
        text = output.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return _lines(text) == _lines(expected)


def _lines(text: str) -> list[str]:
    text = text.replace("\r\n", "\n")
    return [line.rstrip(" \t") for line in text.rstrip(" \t\n").split("\n")]


def _same(a: Any, b: Any, *, exact: bool) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    numbers = (int, float, complex)
    if isinstance(a, numbers) and isinstance(b, numbers):
        if exact and type(a) is not type(b):
            return False
        return a == b or (exact and a != a and b != b)
    if type(a) is not type(b):
        plain = (str, bytes, list, tuple, set, frozenset, dict, type(None))
        if exact or (isinstance(a, plain) and isinstance(b, plain)):
            return not exact and _sets(a, b) and _same_set(a, b, exact=False)
        return bool(a == b)
    if isinstance(a, list | tuple):
        a, b = cast("list[Any]", a), cast("list[Any]", b)
        return len(a) == len(b) and all(_same(x, y, exact=exact) for x, y in zip(a, b, strict=True))
    if _sets(a, b):
        return _same_set(a, b, exact=exact)
    if isinstance(a, dict):
        a, b = cast("dict[Any, Any]", a), cast("dict[Any, Any]", b)
        if len(a) != len(b) or not _same_set(set(a), set(b), exact=exact):
            return False
        return all(_same(a[key], b[key], exact=exact) for key in b)
    return bool(a == b)


def _sets(a: object, b: object) -> bool:
    return isinstance(a, set | frozenset) and isinstance(b, set | frozenset)


def _same_set(a: Any, b: Any, *, exact: bool) -> bool:
    if a != b:
        return False
    own = {each: each for each in a}
    return all(_same(own[each], each, exact=exact) for each in b)
