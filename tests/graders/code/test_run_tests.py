"""`run_tests`: its four forms, its two rewards, its languages, and what is bad about an input."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from palestra.errors import ConfigError, DataError, NotFound
from palestra_code import run_tests

SQUARE = "def f(n):\n    return n * n\n"


def value(program: str, *tests: dict[str, object], **options: object) -> float:
    score = run_tests(program, tests, timeout_s=20.0, **options)  # type: ignore[arg-type]
    assert str(score.status) == "ok", score
    return score.value


def test_each_form_of_test_passes_and_fails() -> None:
    for right, wrong in (
        ({"assert": "assert f(3) == 9"}, {"assert": "assert f(3) == 8"}),
        (
            {"function": "f", "args": [3], "expected": 9},
            {"function": "f", "args": [3], "expected": 8},
        ),
        (
            {"check": "def check(c):\n    assert c(3) == 9", "entry_point": "f"},
            {"check": "def check(c):\n    assert c(3) == 8", "entry_point": "f"},
        ),
    ):
        assert value(SQUARE, right) == 1.0
        assert value(SQUARE, wrong) == 0.0
    script = "print(int(input()) ** 2)"
    assert value(script, {"stdin": "3\n", "stdout": "9"}) == 1.0
    assert value(script, {"stdin": "3\n", "stdout": "8"}) == 0.0


def test_both_ways_of_confinement_give_the_same_verdicts(confined: str) -> None:
    tests = [
        {"assert": "assert f(3) == 9"},
        {"function": "f", "args": [-2], "expected": 4},
        {"assert": "assert f(3) == 10"},
        {"stdin": "", "stdout": "hello"},
    ]
    program = SQUARE + "print('hello')\n"
    assert value(program, *tests, sandbox=confined, reward="fraction") == 0.75


def test_a_program_without_a_sandbox_is_graded_where_that_is_asked_for() -> None:
    assert value(SQUARE, {"assert": "assert f(3) == 9"}, sandbox="unsafe_subprocess") == 1.0


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("True", 1),
        ("1", True),
        ("1.0", 1),
        ("(1, 2)", [1, 2]),
        ("[1, 2]", [1, 2, 3]),
        ("[1, 2, 3]", [1, 2]),
        ("'1'", 1),
        ("{1: True}", {1: 1}),
        ("[[True]]", [[1]]),
        ("{1, 2}", frozenset({1, 2})),
        ("0.1 + 0.2", 0.3),
        ("None", 0),
        ("float('nan')", 0.0),
    ],
)
def test_a_value_of_another_type_or_length_is_another_value(
    returned: str, expected: object
) -> None:
    program = f"def f():\n    return {returned}\n"
    assert value(program, {"function": "f", "expected": expected}) == 0.0


def test_asserts_compare_as_python_does_but_a_bool_is_no_number() -> None:
    one = "def f(n):\n    return 1\n"
    assert value(one, {"assert": "assert f(0) == 1.0"}) == 1.0
    assert value(one, {"assert": "assert f(0) == True"}) == 0.0
    assert value(one, {"assert": "assert f(0) != True"}) == 1.0
    assert value(one, {"assert": "assert [f(0)] == [True]"}) == 0.0


def test_a_fraction_counts_every_test_and_all_or_nothing_stops_at_the_first() -> None:
    tests = [{"assert": f"assert f({n}) == {n * n + (n == 2)}"} for n in range(4)]
    assert value(SQUARE, *tests, reward="fraction") == 0.75
    score = run_tests(SQUARE, tests, timeout_s=20.0)
    assert score.value == 0.0
    assert score.reason == "test 3 of 4: wrong answer"


def test_a_hang_costs_its_own_test_alone() -> None:
    program = "def f(n):\n    while n == 1:\n        pass\n    return n\n"
    tests = [{"function": "f", "args": [n], "expected": n} for n in range(3)]
    score = run_tests(program, tests, timeout_s=2.0, reward="fraction")
    assert score.value == pytest.approx(2 / 3)
    assert "no answer within 2 s" in score.reason


def test_cases_do_not_share_a_process() -> None:
    program = "seen = []\ndef f(n):\n    seen.append(n)\n    return len(seen)\n"
    tests = [{"function": "f", "args": [n], "expected": 1} for n in range(3)]
    assert value(program, *tests) == 1.0


def test_a_method_of_solution_is_found() -> None:
    program = "class Solution:\n    def twice(self, n):\n        return 2 * n\n"
    assert value(program, {"function": "twice", "args": [4], "expected": 8}) == 1.0


def test_a_helper_of_the_check_is_not_the_programs() -> None:
    """A program that defines the checker's helper anew is judged by the checker's own."""
    check = "def off(x):\n    return x - 9\ndef check(c):\n    assert abs(off(c(3))) < 1e-9\n"
    cheat = "def off(x):\n    return 0\ndef f(n):\n    return 0\n"
    assert value(cheat, {"check": check, "entry_point": "f"}) == 0.0
    assert value(SQUARE, {"check": check, "entry_point": "f"}) == 1.0


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_cpp_is_compiled_and_run() -> None:
    program = "#include <iostream>\nint main() { int a; std::cin >> a; std::cout << 2 * a; }"
    test = {"stdin": "4\n", "stdout": "8\n"}
    assert value(program, test, language="cpp") == 1.0
    score = run_tests("int main() { return x; }", [test], language="cpp")
    assert score.value == 0.0
    assert "does not compile" in score.reason


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_javascript_is_run() -> None:
    program = "console.log(2 * Number(require('fs').readFileSync(0, 'utf8')))"
    assert value(program, {"stdin": "4\n", "stdout": "8"}, language="javascript") == 1.0


def test_a_compiler_that_is_missing_is_a_status_and_not_a_wrong_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from palestra_code import languages

    absent = languages.Language(name="cpp", file="p.cpp", compiler=("no-such-compiler",))
    monkeypatch.setitem(languages._LANGUAGES, "cpp", absent)
    score = run_tests("int main() {}", [{"stdin": "", "stdout": ""}], language="cpp")
    assert str(score.status) == "error"
    assert "no 'no-such-compiler' in the sandbox" in score.reason


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("def f(:", "SyntaxError"),
        ("f = '\x00'", "null bytes"),
        ("\udc80 = 1", "not valid Unicode"),
        ("# " + "x" * 10_000_000, "10,000,002 characters"),
        ("   ", "no program"),
        ("import no_such_module_f", "ModuleNotFoundError"),
        ("def g(n):\n    return 0", "defines no 'f'"),
        ("x = 1", "does not define what is called"),
    ],
    ids=lambda text: text[:12],
)
def test_a_program_that_cannot_run_is_wrong_and_says_why(program: str, said: str) -> None:
    score = run_tests(program, [{"function": "f", "args": [1], "expected": 1}])
    assert score.value == 0.0
    assert str(score.status) == "ok"
    assert said in score.reason


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        ([], "without tests"),
        ([{}], "test 1: has nothing"),
        ([{"assrt": "assert f(1) == 1"}], "not one of"),
        ([{"stdin": "1"}], "no field 'stdout'"),
        ([{"function": "f", "expected": 1, "arg": [1]}], "Did you mean 'args'?"),
        ([{"function": "f", "expected": object()}], "holds a object"),
        ([{"assert": "f(1) == 1"}], "no assert statement"),
        ([{"assert": "assert f(1 =="}], "no Python"),
        ([{"check": "assert 1", "entry_point": "f"}], "defines no function check"),
    ],
)
def test_tests_of_no_known_form_are_refused(tests: list[dict[str, object]], said: str) -> None:
    with pytest.raises(DataError, match=said.replace("?", r"\?")):
        run_tests(SQUARE, tests)


def test_a_test_that_cannot_be_run_is_the_graders_failure() -> None:
    for code in ("def check(c):\n    assert c(3) == nine", "def check(c):\n    assert True"):
        score = run_tests(SQUARE, [{"check": code, "entry_point": "f"}])
        assert str(score.status) == "error", score


def test_names_that_are_unknown_are_said() -> None:
    test = {"stdin": "", "stdout": ""}
    with pytest.raises(NotFound, match="no sandbox 'lokal'"):
        run_tests("", [test], sandbox="lokal")
    with pytest.raises(ConfigError, match="Did you mean 'python'"):
        run_tests("", [test], language="pyton")


def test_a_name_that_an_import_brings_is_found() -> None:
    test = {"function": "gcd", "args": [12, 18], "expected": 6}
    assert value("from math import *", test) == 1.0


def test_many_threads_grade_at_once() -> None:
    def grade(n: int) -> float:
        program = f"def f(x):\n    return x + {n}\n"
        return value(program, {"function": "f", "args": [1], "expected": n + 1 + n % 2})

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(grade, range(24))) == [float(n % 2 == 0) for n in range(24)]


def test_a_process_that_graded_leaves_none_behind() -> None:
    program = (
        "from palestra.grading import sandbox as s\n"
        "from palestra_sandboxes.local import LocalSandbox\n"
        "s._open['local'] = LocalSandbox()\n"
        "from palestra_code import run_tests\n"
        "print(run_tests('def f(): return 1', [{'assert': 'assert f() == 1'}], timeout_s=19.75).value)\n"
        "import subprocess, os\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "1.0\n", done.stderr
    deadline = time.monotonic() + 10
    while _running("19.75") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running("19.75")


def _running(marker: str) -> bool:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return any("driver.py" in line and marker in line for line in listed.stdout.splitlines())
