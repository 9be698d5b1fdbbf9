"""`palestra_math.grade` on the table of pairs, the catalogue of attacks, and hostile text."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.benchmarks.math_grader import RENDERINGS, answers, one_digit_off
from tests.graders.math.attacks.catalogue import ATTACKS, Attack
from tests.graders.math.table import Pair, pairs

from palestra.envs import Status
from palestra.errors import ConfigError
from palestra_math import chinese, grade, same_answer
from palestra_math.latex import root

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """Import mpmath before anything is timed."""
    same_answer("\\sqrt{2}", "\\pi")


def test_the_table_is_large_and_says_each_thing_once():
    keys = [(p.reference, p.answer) for p in pairs()]
    assert len(keys) >= 300
    assert len(set(keys)) == len(keys)
    assert all(p.reason for p in pairs())


@pytest.mark.parametrize("pair", pairs(), ids=str)
def test_every_pair_of_the_table_is_judged_right(pair: Pair):
    assert same_answer(pair.reference, pair.answer) == pair.same
    boxed = grade(pair.reference, f"So it is $\\boxed{{{pair.answer}}}$.")
    tagged = grade(pair.reference, f"<think>x</think>\n<answer>{pair.answer}</answer>")
    assert boxed.value == tagged.value == float(pair.same)


def test_the_catalogue_of_attacks_is_large():
    assert len(ATTACKS) >= 40
    assert len({a.name for a in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_no_attack_is_paid_or_slow(attack: Attack):
    started = time.process_time()
    score = grade(attack.reference, attack.completion)
    assert score.value == 0.0
    assert score.status.is_valid
    assert time.process_time() - started < 1.0


@pytest.mark.skipif(not answers("gsm8k_test", "answer"), reason="no shared data here")
def test_gsm8k_answers_are_right_in_five_renderings_and_wrong_a_digit_off():
    found = answers("gsm8k_test", "answer")
    assert len(found) == 1319
    for answer in found:
        for render in RENDERINGS:
            assert grade(answer, render(answer)).value == 1.0, (answer, render(answer))
            wrong = one_digit_off(answer)
            assert grade(answer, render(wrong)).value == 0.0, (answer, wrong)


@pytest.mark.parametrize(
    ("completion", "forms", "paid"),
    [
        ("<answer>42</answer>", ("tags",), True),
        ("\\boxed{42}", ("tags",), False),
        ("\\boxed{42}", ("boxed",), True),
        ("<answer>\\boxed{42}</answer>", ("tags",), True),
        ("\\boxed{\\boxed{42}}", ("boxed",), True),
        ("\\fbox{42}", ("boxed",), True),
        ("The answer is 42.", ("phrase",), True),
        ("**Answer:** 42", ("phrase",), True),
        ("The final answer is $42$. I hope it is correct.", ("phrase",), True),
        ("所以答案是42。", ("phrase",), True),
        ("some work\n#### 42", ("hashes",), True),
        ("42", ("whole",), True),
        ("40 then 42", ("whole",), False),
        ("40 then 42", ("last_number",), True),
        ("42 then 40", ("last_number",), False),
        ("40 then 42", ("tags", "boxed", "phrase", "hashes", "whole"), False),
        ("The answer is 41. No: \\boxed{42}", ("phrase", "boxed"), True),
        ("\\boxed{42}\nThe answer is 41.", ("phrase", "boxed"), False),
        ("<think>\\boxed{41}</think>\\boxed{42}", ("boxed",), True),
    ],
)
def test_an_answer_is_read_where_it_is_asked_for(completion: str, forms: tuple, paid: bool):
    assert grade("42", completion, forms=forms).value == float(paid)


def test_an_expression_copied_from_the_question_earns_nothing():
    question = "Factor $x^2 - 5x + 6$."
    assert grade("(x-2)(x-3)", "\\boxed{x^2-5x+6}", question=question).value == 0.0
    assert grade("(x-2)(x-3)", "\\boxed{(x-3)(x-2)}", question=question).value == 1.0
    which = "Which is larger, $\\frac{2}{3}$ or $\\frac{3}{4}$?"
    assert grade("\\frac{3}{4}", "\\boxed{\\frac{3}{4}}", question=which).value == 1.0


@pytest.mark.parametrize("reference", ["", " ", "10^{10^{10}}", "1" * 5000, "1/0", "\u202e42"])
def test_a_reference_that_nothing_could_equal_is_said(reference: str):
    with pytest.raises(ConfigError, match=r"the reference .* cannot be graded"):
        grade(reference, "\\boxed{42}")


def test_no_answer_is_unparsable_and_valid():
    score = grade("42", "I do not know, and I say so at some length.\nReally.")
    assert (score.value, score.status) == (0.0, Status.UNPARSABLE)
    assert "no answer" in score.reason


def test_integrals_in_references_go_to_math_verify():
    pytest.importorskip("math_verify")
    reference = "\\sum_{k=1}^{n} k^2"
    assert grade(reference, "\\boxed{\\sum_{k=1}^{n} k^2}").value == 1.0
    assert grade(reference, "\\boxed{\\sum_{k=1}^{n} k^3}").value == 0.0


def test_a_late_math_verify_is_a_timeout_and_the_next_answer_is_graded(monkeypatch):
    pytest.importorskip("math_verify")
    from palestra_math import symbolic

    reference = "\\sum_{k=1}^{n} k^2"
    monkeypatch.setattr(symbolic, "DEADLINE_S", 0.0)
    late = grade(reference, "\\boxed{\\sum_{k=1}^{n} k^4}")
    assert (late.value, late.status) == (0.0, Status.TIMEOUT)
    monkeypatch.undo()
    monkeypatch.setattr(symbolic, "DEADLINE_S", 30.0)
    assert grade(reference, "\\boxed{\\sum_{j=1}^{n} k^3}").status.is_valid


def test_a_dead_math_verify_is_an_error_and_no_verdict(monkeypatch):
    pytest.importorskip("math_verify")
    from palestra_math import symbolic

    symbolic._close()
    monkeypatch.setattr(symbolic, "_CHILD", "raise SystemExit(1)")
    dead = grade("\\sum_{k=1}^{n} k^2", "\\boxed{\\sum_{k=1}^{n} k^5}")
    assert (dead.value, dead.status) == (0.0, Status.ERROR)
    assert "math-verify's process failed" in dead.reason


def test_threads_agree_with_the_main_thread():
    chosen = pairs()[::3]
    wrong: list[Pair] = []

    def work() -> None:
        wrong.extend(p for p in chosen if same_answer(p.reference, p.answer) != p.same)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_importing_the_package_loads_no_sympy_and_no_grader():
    program = (
        "import sys, palestra_math, palestra_math.plugin;"
        "palestra_math.plugin.palestra_environments();"
        "print([m for m in ('sympy', 'mpmath', 'gymnasium', 'math_verify') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


CHARACTERS = "0123456789+-*/^_=<>()[]{}|!,.;:%$\\& \nxyeiπ√½²三十分之\u202e\ud800"
COMMANDS = [
    "\\frac",
    "\\sqrt",
    "\\boxed{",
    "\\pm",
    "\\begin{pmatrix}",
    "\\end{pmatrix}",
    "\\cup",
    "\\in",
    "or",
    "km",
]
HOSTILE = st.lists(st.sampled_from([*CHARACTERS, *COMMANDS]), max_size=60).map("".join)


@given(HOSTILE, HOSTILE)
@settings(max_examples=400, deadline=None)
def test_nothing_is_raised_and_grading_is_quick_whatever_the_text(reference: str, answer: str):
    started = time.process_time()
    for text in (f"\\boxed{{{answer}}}", f"<answer>{answer}</answer>", answer):
        score = grade("42", text)
        assert score.value in (0.0, 1.0)
    same_answer(reference, answer)
    assert time.process_time() - started < 2.0


SPLICED = st.sampled_from([text for p in pairs() for text in (p.reference, p.answer)])
TAILS = st.sampled_from(["", "^", "^{99}", "!", "(", ")", "\\frac", "|", ",", "!" * 30, "^2" * 30])


@given(SPLICED, SPLICED, TAILS, st.integers(0, 20), st.integers(0, 20))
@settings(max_examples=1_000, deadline=None)
def test_answers_cut_and_joined_anywhere_are_graded(a: str, b: str, tail: str, i: int, j: int):
    for reference in ("42", "\\sqrt{2}", "x^2+2x+1", "(1,2)", "\\{1,2\\}", "x<5", "\\pi/4", "B"):
        score = grade(reference, f"\\boxed{{{a[:i]}{b[j:]}{tail}}}")
        assert score.status.is_valid


@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_fractions_are_the_same_exactly_where_they_are_equal(a: Fraction, b: Fraction):
    assert same_answer(str(a), str(b)) == (a == b)
    latex = f"\\frac{{{a.numerator * 3}}}{{{a.denominator * 3}}}"
    assert same_answer(str(a), latex)


@given(st.integers(-(10**12), 10**12))
def test_an_integer_may_be_written_in_every_convention(n: int):
    for text in (f"{n:,}", f"{n:,}".replace(",", " "), f"{n:,}".replace(",", "\\,"), f"{n}.0"):
        assert same_answer(str(n), text), text
        assert not same_answer(str(n + 1), text), text


@given(st.integers(1, 99_999_999))
def test_chinese_numerals_read_back(n: int):
    assert chinese.read(_chinese(n)) == n


def _chinese(n: int) -> str:
    digits, units = "零一二三四五六七八九", ("", "十", "百", "千")
    if n >= 10_000:
        high, low = divmod(n, 10_000)
        gap = "零" if 0 < low < 1000 else ""
        return _chinese(high) + "万" + gap + (_chinese(low) if low else "")
    text = ""
    for place in (3, 2, 1, 0):
        digit = n // 10**place % 10
        if digit:
            text += digits[digit] + units[place]
        elif text and n % 10**place and not text.endswith("零"):
            text += "零"
    return text


@given(st.integers(1, 10**4), st.integers(1, 100))
def test_roots_are_written_without_squares_inside(a: int, b: int):
    assert same_answer(f"\\sqrt{{\\frac{{{a}}}{{{b}}}}}", root(Fraction(a, b)))
