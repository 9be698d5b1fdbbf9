"""Reading answers out of completions, hostile ones included."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palestra.envs.answers import last_number, lenient_answer, same_answer, strict_answer


@pytest.mark.parametrize(
    ("completion", "strict", "lenient"),
    [
        ("<think>a</think><answer>4</answer>", "4", "4"),
        ("<think>a</think>\n<answer>\n 4 \n</answer>\n", "4", "4"),
        ("<answer>4</answer>", "4", "4"),
        ("<think>a</think><answer></answer>", "", ""),
        ("<think>a</think><answer>1</answer><answer>2</answer>", "2", "2"),
        ("<think><answer>9</answer></think><answer>4</answer>", "4", "4"),
        ("<think><answer>9</answer></think>", None, "9"),
        ("<think><answer>9</answer></think>so 4", None, "so 4"),
        ("<think>a</think><answer>4", None, "4"),
        ("<think>a</think>4</answer>", None, "4"),
        ("<think>a</think><answer><answer>4</answer></answer>", "4", "4"),
        ("<think>a</think><ANSWER>4</ANSWER>", None, "<ANSWER>4</ANSWER>"),
        (r"so \boxed{4} it is", None, "4"),
        (r"\boxed{3} no \boxed{ 4 }", None, "4"),
        (r"\boxed{\frac{1}{2}}", None, r"\boxed{\frac{1}{2}}"),
        ("first\n\nlast line\n\n", None, "last line"),
        ("", None, None),
        ("\n \n", None, None),
        ("<think></think>", None, None),
    ],
)
def test_answers_are_read_strictly_in_the_tags_and_leniently_anywhere(
    completion: str, strict: str | None, lenient: str | None
):
    assert strict_answer(completion) == strict
    assert lenient_answer(completion) == lenient


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3 and 4", "4"),
        ("it is -7.", "-7"),
        ("1,234,567 apples", "1234567"),
        ("3.14 or so", "3.14"),
        ("7, I think", "7"),
        ("<answer>12</answer>", "12"),
        ("3+4=7", "7"),
        ("none", None),
        ("", None),
    ],
)
def test_the_last_number_of_a_text(text: str, number: str | None):
    assert last_number(text) == number


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("4", "4"),
        ("4", 4),
        ("4.0", "4"),
        ("+4", "4"),
        ("04", "4"),
        ("-0", "0"),
        (" 4 ", "4"),
        ("4.", "4"),
        ("1,000", "1000"),
        ("1,234,567.50", "1234567.5"),
        ("ABC", "abc"),
        ("a  b\nc", "A b c"),
        ("红色", "红色"),
    ],
)
def test_the_same_answer_is_the_same(answer: str, reference: object):
    assert same_answer(answer, reference)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        (None, "4"),
        ("", "4"),
        ("5", "4"),
        ("4 or 5", "4"),
        ("44", "4"),
        ("-4", "4"),
        ("4e0", "4"),
        ("0x4", "4"),
        ("1,2", "12"),  # a list is no number
        ("1,2,3", "123"),
        ("12,34", "1234"),
        ("4.5.6", "4.5"),
        ("٤", "4"),
        ("four", "4"),
        ("None", None.__class__),
    ],
)
def test_another_answer_is_another(answer: str | None, reference: object):
    assert not same_answer(answer, reference)


@given(st.integers(-(10**30), 10**30))
def test_every_integer_is_itself_however_it_is_written(n: int):
    assert same_answer(str(n), n)
    assert same_answer(f"{n:,}", n)
    assert same_answer(f"{n}.000", str(n))
    assert not same_answer(str(n + 1), n)
    assert strict_answer(f"<think>{n + 1}</think><answer>{n}</answer>") == str(n)
    assert last_number(f"not {n + 1} but {n:,} of them") == str(n)


@given(st.text(), st.text())
def test_reading_never_fails(text: str, reference: str):
    for read in (strict_answer, lenient_answer, last_number):
        assert isinstance(read(text), str | None)
    assert isinstance(same_answer(text, reference), bool)


@pytest.mark.parametrize(
    "hostile",
    [
        "1e999999999",
        "9" * 1_000_000,
        "1" + ",000" * 300_000,
        "0." + "1" * 1_000_000,
        "-" * 1_000_000,
        "<answer>" * 200_000,
        "</answer>" * 200_000,
        "<answer>" * 100_000 + "</answer>" * 100_000,
        "<think>" * 100_000 + "</think>" * 100_000 + "<answer>4</answer>",
        "\\boxed{" * 200_000,
        "\\boxed" * 200_000,
        "\n" * 1_000_000,
        "<answer>" + " " * 1_000_000 + "4</answer>",
        "NaN",
        "Infinity",
        "1_000",
        "9**9**9**9",
        "__import__('os')",
    ],
    ids=range(18),
)
def test_hostile_text_is_read_at_once(hostile: str):
    started = time.process_time()
    for text in (hostile, f"<think>x</think><answer>{hostile}</answer>"):
        lenient = lenient_answer(text)
        same_answer(strict_answer(text), "4")
        same_answer(lenient, "1e999999999")
        same_answer(last_number(text), "4")
    assert time.process_time() - started < 2


def test_an_exponent_is_text_and_equals_only_itself():
    assert same_answer("1e999999999", "1e999999999")
    assert not same_answer("1e999999999", "1e999999998")
    assert not same_answer("1e2", "100")
