"""`logic/SAT-v1`: find values that make a formula in conjunctive normal form true."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np

from palestra.envs import Task
from palestra_logic.puzzle import PuzzleEnv, assignment

Clause = tuple[int, ...]
"""Numbers of variables from 1, negative where negated, as in DIMACS."""

_VARIABLES = {1: 4, 2: 5, 3: 6, 4: 8, 5: 10}
RARE = 32
"""At most one assignment in so many is right (or the planted one alone, of four variables)."""

_WORDS = {"en": ("not ", " or ", " and "), "zh": ("非", "或", "且")}
_TRUTH = {"en": ("false", "true"), "zh": ("假", "真")}
_VALUES = {"false": 0, "true": 1, "假": 0, "真": 1, "f": 0, "t": 1, "0": 0, "1": 1}
_ASK = {
    "en": "Find values of {names} that make this true: {f}. Answer as: {form}.",
    "zh": "求{names}的真假，使下式为真：{f}。请这样回答：{form}。",
}
_TRUE = {"en": "{c} holds: {l}", "zh": "{c}成立：{l}"}
_SET = {"en": "take {w}", "zh": "取{w}"}


class SATEnv(PuzzleEnv):
    """A satisfiable formula of clauses with two or three literals.

    Clauses are drawn around a planted assignment until few others are left, counted by the whole
    truth table; any assignment that satisfies the formula is right.
    """

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        language = "en" if rng.random() < 0.5 else "zh"
        n = _VARIABLES[difficulty]
        names = sorted(str(c) for c in rng.choice(list("abcdefghijkmnpqrsuvwxyz"), n, False))
        planted = [int(v) for v in rng.integers(0, 2, n)]
        clauses: list[Clause] = []
        while models(clauses, n).bit_count() > max(1, 2**n // RARE):
            clause = _clause(rng, planted)
            if clause not in clauses and models([*clauses, clause], n) != models(clauses, n):
                clauses.append(clause)
        truth = _TRUTH[language]
        form = ", ".join(f"{name}: {truth[1]}/{truth[0]}" for name in names[:2]) + ", …"
        comma = "、" if language == "zh" else ", "
        formula = _WORDS[language][2].join(_text(c, names, language) for c in clauses)
        return Task(
            prompt=_ASK[language].format(names=comma.join(names), f=formula, form=form),
            reference=_written(planted, names, language),
            language=language,
            metadata={"names": names, "clauses": [list(c) for c in clauses], "planted": planted},
        )

    def fits(self, task: Task, answer: str) -> bool:
        names, clauses, _ = _puzzle(task)
        given = assignment(answer, names, _VALUES)
        return given is not None and all(_true_in(c, [given[n] for n in names]) for c in clauses)

    def reasons(self, task: Task) -> list[str]:
        names, clauses, planted = _puzzle(task)
        language = task.language or "en"
        lines = [_SET[language].format(w=_written(planted, names, language))]
        for clause in clauses:
            true = next(x for x in clause if _true_in((x,), planted))
            literal = _text((true,), names, language)
            text = _text(clause, names, language)
            lines.append(_TRUE[language].format(c=text, l=literal))
        return lines

    def wrong_answers(self, task: Task) -> Iterable[str]:
        names, clauses, planted = _puzzle(task)
        language = task.language or "en"
        for i in range(len(names)):
            other = [*planted[:i], 1 - planted[i], *planted[i + 1 :]]
            if not all(_true_in(c, other) for c in clauses):
                yield _written(other, names, language)
                break
        yield _written(planted[:-1], names[:-1], language)
        for word in _TRUTH[language]:
            yield f"{_written(planted, names, language)}, {names[0]}: {word}"


def models(clauses: list[Clause], n: int) -> int:
    """Return the truth table of a formula: bit w is set where world w satisfies every clause.

    In world w variable i + 1 is true where bit i of w is set.
    """
    whole = (1 << (1 << n)) - 1
    table = whole
    for clause in clauses:
        true = 0
        for literal in clause:
            column = _column(abs(literal) - 1, n)
            true |= column if literal > 0 else whole ^ column
        table &= true
    return table


def _column(variable: int, n: int) -> int:
    """Return the column of the truth table that is a variable's own."""
    period = 2 << variable
    block = ((1 << (1 << variable)) - 1) << (1 << variable)
    column, width = block, period
    while width < 1 << n:
        column |= column << width
        width *= 2
    return column


def _true_in(clause: Clause, values: list[int]) -> bool:
    return any(values[abs(x) - 1] == (x > 0) for x in clause)


def _clause(rng: np.random.Generator, planted: list[int]) -> Clause:
    """Draw a clause that the planted assignment satisfies."""
    width = 2 if rng.random() < 0.2 else 3
    while True:
        chosen = sorted(int(v) + 1 for v in rng.choice(len(planted), width, False))
        clause = tuple(v if rng.random() < 0.5 else -v for v in chosen)
        if _true_in(clause, planted):
            return clause


def _text(clause: Clause, names: list[str], language: str) -> str:
    no, either, _ = _WORDS[language]
    inner = either.join(("" if x > 0 else no) + names[abs(x) - 1] for x in clause)
    return f"({inner})" if len(clause) > 1 else inner


def _written(values: list[int], names: list[str], language: str) -> str:
    truth = _TRUTH[language]
    return ", ".join(f"{name}: {truth[v]}" for name, v in zip(names, values, strict=True))


def _puzzle(task: Task) -> tuple[list[str], list[Clause], list[int]]:
    clauses = [tuple(c) for c in cast("list[list[int]]", task.metadata["clauses"])]
    names = cast("list[str]", task.metadata["names"])
    return names, clauses, cast("list[int]", task.metadata["planted"])
