"""Plain data crosses unchanged, and nothing else crosses."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palestra_code import plain
from palestra_code.compare import equal, identical, same_output

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**52).map(lambda n: n**9)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
hashable = st.recursive(scalars, lambda s: st.tuples(s, s) | st.frozensets(s, max_size=3))
values = st.recursive(
    hashable,
    lambda s: (
        st.lists(s, max_size=4)
        | st.tuples(s, s)
        | st.sets(hashable, max_size=3)
        | st.dictionaries(hashable, s, max_size=3)
    ),
    max_leaves=12,
)


@given(values)
def test_a_value_comes_back_with_its_exact_types(value: Any) -> None:
    back = plain.loads(plain.dumps(value))
    assert identical(back, value)
    assert repr(type(back)) == repr(type(value))


@given(st.binary())
def test_any_bytes_are_data_or_refused(data: bytes) -> None:
    try:
        value = plain.loads(data)
    except plain.NotPlain:
        return
    assert identical(plain.loads(plain.dumps(value)), value)


@pytest.mark.parametrize(
    "data",
    [
        b'{"i": "0x1", "f": "1"}',
        b'{"e": "1"}',
        b"[" * 9_999,
        b'{"s": [[]]}',
        b'{"d": [[1]]}',
        b'{"c": ["0x1"]}',
        b'{"s": [1, 1]}',
        b"9007199254740993",
        b"1.5",
        b"NaN",
        b'{"f": 1}',
    ],
)
def test_data_in_no_form_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(plain.NotPlain):
        plain.loads(data)


class Liar(str):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


@pytest.mark.parametrize("value", [Liar("x"), [Liar("x")], {1: Liar("x")}, object(), len, iter([])])
def test_a_value_that_may_lie_does_not_cross(value: object) -> None:
    with pytest.raises(plain.NotPlain):
        plain.dumps(value)


def test_a_nest_without_end_is_refused_and_a_counter_is_a_dict() -> None:
    nest: list[Any] = []
    nest.append(nest)
    with pytest.raises(plain.NotPlain, match="200 deep"):
        plain.dumps(nest)
    assert plain.loads(plain.dumps(Counter("aab"))) == {"a": 2, "b": 1}


@given(values, values)
def test_equal_is_pythons_equality_where_no_bool_is(a: Any, b: Any) -> None:
    if not _has_bool(a) and not _has_bool(b):
        assert equal(a, b) == (a == b)
    assert equal(a, a)
    assert identical(a, a)
    assert not identical(a, b) or equal(a, b)


def _has_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return True
    if isinstance(value, dict):
        return any(_has_bool(each) for pair in value.items() for each in pair)
    return isinstance(value, list | tuple | set | frozenset) and any(map(_has_bool, value))


def test_what_is_alike_is_not_identical() -> None:
    for a, b in (
        (True, 1),
        (1, 1.0),
        ([1], (1,)),
        ({1}, frozenset({1})),
        ({1: 1}, {True: 1}),
        ({1}, {True}),
        ("a", b"a"),
        ([1], [1, 1]),
        (0, None),
    ):
        assert not identical(a, b)
    assert identical(math.nan, math.nan)
    assert not equal(math.nan, math.nan)


@pytest.mark.parametrize(
    ("output", "expected", "same"),
    [
        (b"1\n2\n", "1\n2", True),
        (b"1 \r\n2\n\n\n", "1\n2\n", True),
        (b"1\n", "1\n2\n", False),
        (b"1\n2\n3\n", "1\n2\n", False),
        (b"1 2", "1  2", False),
        (b"01", "1", False),
        (b"\xff", "1", False),
        (b"", "", True),
        (b"\n1", "1", False),
    ],
)
def test_every_line_of_output_counts(output: bytes, expected: str, same: bool) -> None:
    assert same_output(output, expected) is same
