"""The procedural math environments: every reference, a second way."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import cache

import pytest

from palestra.envs import SingleTurnEnv, Task
from palestra.seeding import rng
from palestra_math import same_answer
from palestra_math.algebra import AlgebraEnv
from palestra_math.combinatorics import CombinatoricsEnv
from palestra_math.countdown import CountdownEnv
from palestra_math.geometry import GeometryEnv
from palestra_math.number_facts import NumberFactsEnv
from palestra_math.number_theory import NumberTheoryEnv
from palestra_math.word_problems import WordProblemsEnv

ENVS: list[type[SingleTurnEnv]] = [
    AlgebraEnv,
    CombinatoricsEnv,
    CountdownEnv,
    GeometryEnv,
    NumberTheoryEnv,
    WordProblemsEnv,
]


def drawn(cls: type[SingleTurnEnv], count: int) -> list[tuple[int, Task]]:
    env, generator = cls(), rng(0, cls.__name__)
    first, last = env.difficulties
    levels = itertools.cycle(range(first, last + 1))
    return [
        (level, env.sample(generator, level))
        for level, _ in zip(levels, range(count), strict=False)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("cls", ENVS, ids=lambda c: c.__name__)
def test_none_of_ten_thousand_references_is_refused(cls: type[SingleTurnEnv]):
    env = cls()
    for _, task in drawn(cls, 10_000):
        completion = env.reference_completion(task)
        assert completion is not None
        assert env.grade(task, completion).value == 1.0, task


@pytest.mark.parametrize("cls", ENVS, ids=lambda c: c.__name__)
def test_references_are_accepted_and_the_authors_cheats_are_not(cls: type[SingleTurnEnv]):
    env = cls()
    for _, task in drawn(cls, 60):
        completion = env.reference_completion(task)
        assert completion is not None
        assert env.grade(task, completion).value == 1.0, task
        for probe in env.probes(task):
            assert env.grade(task, probe).value == 0.0, (task, probe)


@pytest.mark.parametrize("cls", ENVS, ids=lambda c: c.__name__)
def test_prompts_seldom_repeat(cls: type[SingleTurnEnv]):
    prompts = [task.prompt for _, task in drawn(cls, 1_000)]
    assert len(set(map(str, prompts))) > 900


def test_equations_hold_at_their_solutions():
    for level, task in drawn(AlgebraEnv, 1_000):
        m, reference = task.metadata, str(task.reference)
        if level <= 2:
            found = re.fullmatch(r"(-?)(?:\\frac\{(\d+)\}\{(\d+)\}|(\d+))", reference)
            assert found is not None
            x = Fraction(int(found[2] or found[4]), int(found[3] or 1)) * (-1 if found[1] else 1)
            assert m["a"] * x + m["b"] == m["c"] * x + m["d"]
        elif level == 3:
            a, b, c = m["coefficients"]
            roots = [int(n) for n in re.findall(r"-?\d+", reference)]
            assert len(set(roots)) == 2
            assert all(a * x * x + b * x + c == 0 for x in roots)
        elif level == 4:
            x, y = (int(n) for n in re.findall(r"-?\d+", reference))
            assert all(a * x + b * y == c for a, b, c in m["rows"])
        else:  # Newton's sums by the trace of the companion matrix's powers
            _, p, q, r = m["coefficients"]
            companion = [[0, 0, -r], [1, 0, -q], [0, 1, -p]]
            power = companion
            for _ in range(m["power"] - 1):
                power = [
                    [sum(row[k] * companion[k][j] for k in range(3)) for j in range(3)]
                    for row in power
                ]
            assert sum(power[i][i] for i in range(3)) == int(reference)


def test_numbers_are_found_by_trying_all():
    for level, task in drawn(NumberTheoryEnv, 500):
        n, value = task.metadata["numbers"], int(str(task.reference))
        if level == 1:
            assert value == max(d for d in range(1, n[0] + 1) if n[0] % d == n[1] % d == 0)
        elif level == 2:
            assert value == next(k for k in itertools.count(n[0], n[0]) if k % n[1] == 0)
        elif level == 3:
            assert value == n[0] ** n[1] % n[2]
        elif level == 4 and "sum" in str(task.prompt):
            assert value == sum(d for d in range(1, n[0] + 1) if n[0] % d == 0)
        elif level == 4:
            assert value == sum(math.gcd(k, n[0]) == 1 for k in range(1, n[0] + 1))
        else:
            a, m, b, k = n
            assert value == next(x for x in itertools.count() if x % m == a and x % k == b)


def test_counts_are_found_by_another_method():
    @cache
    def ways(k: int, top: int, total: int) -> int:
        if k == 0:
            return int(total == 0)
        return sum(ways(k - 1, top, total - x) for x in range(min(top, total) + 1))

    def paths(m: int, n: int, x: int, y: int) -> int:
        row = [0 if (i, 0) == (x, y) else 1 for i in range(m + 1)]
        for j in range(1, n + 1):
            for i in range(m + 1):
                row[i] = 0 if (i, j) == (x, y) else row[i] + (row[i - 1] if i else 0)
        return row[m]

    methods: dict[int, Callable[..., int]] = {
        1: lambda n, k: math.factorial(n) // math.factorial(n - k),
        2: lambda a, k, b, m: (
            len(list(itertools.combinations(range(a), k)))
            * len(list(itertools.combinations(range(b), m)))
        ),
        4: paths,
        5: ways,
    }
    for level, task in drawn(CombinatoricsEnv, 500):
        value, given = int(str(task.reference)), task.metadata["drawn"]
        if level == 3:
            if len(given) <= 7:
                assert value == len(set(itertools.permutations(given)))
        else:
            assert value == methods[level](*given), task


def test_figures_are_measured_in_floating_point():
    for level, task in drawn(GeometryEnv, 500):
        n, reference = task.metadata["numbers"], str(task.reference)
        if level == 1:
            expected: float = n[0] * n[1] if not n[2] else 2 * (n[0] + n[1])
        elif level == 2:
            expected = math.hypot(n[0] - n[2], n[1] - n[3])
        elif level == 3:
            sides = [math.dist(n[i : i + 2], n[j : j + 2]) for i, j in ((0, 2), (2, 4), (4, 0))]
            s = sum(sides) / 2
            expected = math.sqrt(max(s * math.prod(s - side for side in sides), 0))
        elif level == 4:
            angle = math.radians(n[1])
            expected = n[0] * angle if n[2] else n[0] ** 2 * angle / 2
        else:
            expected = abs(n[0] * n[3] + n[1] * n[4] + n[2]) / math.hypot(n[0], n[1])
        assert measured(reference) == pytest.approx(expected, rel=1e-6, abs=1e-5)


def measured(latex: str) -> float:
    text = re.sub(r"\\frac\{(.*)\}\{(\d+)\}", r"(\1)/\2", latex)
    text = re.sub(r"(?<=\d)\\", r"*\\", text)
    text = text.replace("\\pi", "math.pi")
    return eval(re.sub(r"\\sqrt\{(\d+)\}", r"math.sqrt(\1)", text))


@pytest.mark.parametrize(
    ("answer", "paid"),
    [
        ("(8-2)*7", True),
        ("7*(8-2)", True),
        ("7 \\times (8 - 2)", True),
        ("7 × (8 − 2) = 42", True),
        ("7(8-2)", True),
        ("42", False),
        ("8-2*7", False),
        ("7*(8-2)*1", False),
        ("7*8-2", False),
        ("6*7", False),
        ("7*(8-2) = 43", False),
        ("7*(8-2)+0", False),
        ("7*7-7", False),
        ("7**(8-2)", False),
        ("8 2 7", False),
        ("8!-2-7", False),
        ("__import__('os')", False),
        ("7*(8-2) or 1", False),
        ("(" * 500 + "7*(8-2)" + ")" * 500, False),
    ],
)
def test_countdown_takes_every_right_expression_and_no_other(answer: str, paid: bool):
    env = CountdownEnv()
    task = Task(prompt="?", reference="", metadata={"numbers": [2, 7, 8], "target": 42})
    assert env.grade(task, f"<answer>{answer}</answer>").value == float(paid)


def test_levels_of_algebra_accept_other_ways_to_write_the_answer():
    assert same_answer("\\{-3, 5\\}", "x = 5 or x = -3")
    assert same_answer("(2, -3)", "x = 2, y = -3") is True
    assert same_answer("(2, -3)", "x = -3, y = 2") is False


_MORE = r"more\. How many|together|on a shelf|on Tuesday"
_LESS = r"gives|took|How many more"


def test_stories_come_to_what_their_wording_says():
    for level, task in drawn(WordProblemsEnv, 1_000):
        prompt, value = str(task.prompt), int(str(task.reference))
        numbers = [int(n) for n in re.findall(r"\d+", prompt)]
        assert len(numbers) == 2, "one step: two numbers, and the answer is not among them twice"
        low, high = min(numbers), max(numbers)
        if re.search(_LESS, prompt):
            assert value == high - low
        elif re.search(_MORE, prompt):
            assert value == low + high
        elif re.search(r"same number in each|equally", prompt):
            assert value * low == high or value * high == low
        else:
            assert value == low * high
        assert value >= 0
        assert high < {1: 10, 2: 100, 3: 100, 4: 100, 5: 100}[level]


def test_number_facts_are_right_and_no_fact_is_in_two_splits():
    env = NumberFactsEnv()
    by_split = {split: env.tasks(split) for split in ("train", "validation", "test")}
    tasks = [task for listed in by_split.values() for task in listed]
    assert len({task.prompt for task in tasks}) == len(tasks) == 622
    signs = {"+": "+", "-": "-", "times": "*", "divided by": "//"}
    for task in tasks:
        found = re.fullmatch(r"What is (\d+) (\+|-|times|divided by) (\d+)\?", str(task.prompt))
        assert found is not None
        a, b = int(found[1]), int(found[3])
        assert int(str(task.reference)) == eval(f"{a} {signs[found[2]]} {b}")
        assert found[2] != "divided by" or a % b == 0
    assert min(map(len, by_split.values())) > 50
