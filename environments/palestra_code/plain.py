"""Plain data as bytes: what may cross between a program and its grader, and nothing else.

None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset and dict keep their exact
types, and the standard library's dicts come across as dicts. Whatever else a program returns does
not, a subclass of one of these with its own ``==`` among them. The format is JSON: reading it
makes data, never code. This module also runs inside the sandbox, so it needs the standard library
alone.
"""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, defaultdict
from typing import Any, cast

MAX_DEPTH = 200
"""Containers within containers."""

_SMALL = 1 << 53
_DICTS = (dict, Counter, OrderedDict, defaultdict)


class NotPlain(ValueError):
    """A value that is not plain data; the text says what it is."""


def dumps(value: object) -> bytes:
    """Return plain data as bytes.

    Raises:
        NotPlain: it is, or holds, something else, or nests too deeply.
    """
    return json.dumps(_encode(value, 0), separators=(",", ":")).encode("ascii")


def loads(data: bytes) -> Any:
    """Return the plain data that `dumps` made bytes of; safe for bytes of any origin.

    Raises:
        NotPlain: the bytes are no such data.
    """
    try:
        return _decode(json.loads(data), 0)
    except NotPlain:
        raise
    except (ValueError, TypeError, RecursionError, OverflowError) as exc:
        raise NotPlain(f"unreadable: {type(exc).__name__}") from None


def _encode(value: Any, depth: int) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if -_SMALL < value < _SMALL else {"i": hex(value)}
    if kind is float:
        return {"f": value.hex()}
    if kind is complex:
        return {"c": [value.real.hex(), value.imag.hex()]}
    if kind is bytes:
        return {"b": value.hex()}
    if depth >= MAX_DEPTH:
        raise NotPlain(f"nested more than {MAX_DEPTH} deep")
    if kind is list:
        return [_encode(each, depth + 1) for each in value]
    if kind is tuple:
        return {"t": [_encode(each, depth + 1) for each in value]}
    if kind is set or kind is frozenset:
        letter = "s" if kind is set else "z"
        return {letter: [_encode(each, depth + 1) for each in value]}
    if kind in _DICTS:
        pairs = value.items()
        return {"d": [[_encode(k, depth + 1), _encode(v, depth + 1)] for k, v in pairs]}
    raise NotPlain(f"a {kind.__name__}")


def _decode(data: Any, depth: int) -> Any:
    if depth > MAX_DEPTH + 1:
        raise NotPlain(f"nested more than {MAX_DEPTH} deep")
    if data is None or isinstance(data, bool | str):
        return data
    if isinstance(data, int):
        if not -_SMALL < data < _SMALL:
            raise NotPlain("an integer not in its form")
        return data
    if isinstance(data, list):
        return [_decode(each, depth + 1) for each in cast("list[Any]", data)]
    if not isinstance(data, dict) or len(cast("dict[str, Any]", data)) != 1:
        raise NotPlain("unreadable")
    (letter, inner) = next(iter(cast("dict[str, Any]", data).items()))
    if letter in ("i", "f", "b"):
        return _scalar(letter, inner)
    if letter == "c" and isinstance(inner, list):
        real, imaginary = (_scalar("f", each) for each in cast("list[Any]", inner))
        return complex(real, imaginary)
    if not isinstance(inner, list):
        raise NotPlain("unreadable")
    members = cast("list[Any]", inner)
    if letter == "d":
        pairs = [(_decode(k, depth + 1), _decode(v, depth + 1)) for k, v in members]
        return _as_many(dict(pairs), pairs)
    if letter not in ("t", "s", "z"):
        raise NotPlain("unreadable")
    decoded = [_decode(each, depth + 1) for each in members]
    if letter == "t":
        return tuple(decoded)
    return _as_many(set(decoded) if letter == "s" else frozenset(decoded), decoded)


def _scalar(letter: str, text: object) -> Any:
    if not isinstance(text, str):
        raise NotPlain("unreadable")
    if letter == "i":
        return int(text, 16)
    return float.fromhex(text) if letter == "f" else bytes.fromhex(text)


def _as_many(made: Any, given: list[Any]) -> Any:
    """Refuse a set or a dict whose members were said twice: no program can hold one."""
    if len(made) != len(given) and not any(_nan(each) for each in given):
        raise NotPlain("a member twice")
    return made


def _nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
