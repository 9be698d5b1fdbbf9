"""`general/Calculator-v1`: arithmetic with numbers too long to do in the head, and a calculator."""

from __future__ import annotations

import numpy as np

from palestra.envs import Score, Task
from palestra.envs.answers import same_answer
from palestra_general.evaluator import Refused, evaluate, shown
from palestra_general.tools import ToolEnv, ToolError, judged, schema, spoken

_STORIES = (
    "A factory makes {a} screws a day for {b} days, and then loses {c}. How many are left?",
    "{a} boxes hold {b} seeds each, and {c} more seeds lie on the floor. How many seeds are there?",
    "A ship carries {a} crates of {b} kilograms, and {c} kilograms of fuel. What does it carry?",
)
_SIGNS = ("-", "+", "+")


class CalculatorEnv(ToolEnv):
    """Products and sums of numbers with three (level 1) to seven digits (level 5)."""

    difficulties = (1, 5)
    max_turns = 6
    schemas = (
        schema(
            "calculate",
            "Compute an arithmetic expression exactly.",
            expression="string: numbers, + - * / // % ** and parentheses",
        ),
    )

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw a story and its numbers."""
        low, high = 10 ** (difficulty + 1), 10 ** (difficulty + 2)
        a, b, c = (int(rng.integers(low, high)) for _ in range(3))
        kind = int(rng.integers(len(_STORIES)))
        value = evaluate(f"{a} * {b} {_SIGNS[kind]} {c}")
        return Task(
            prompt=f"{_STORIES[kind].format(a=a, b=b, c=c)} Give the number in <answer> tags.",
            system=spoken(self.schemas),
            reference=shown(value),
            tools=self.schemas,
        )

    def tool_calculate(self, expression: str) -> str:
        """Compute; what cannot be computed is said to the policy."""
        try:
            return shown(evaluate(expression))
        except Refused as exc:
            raise ToolError(str(exc)) from exc

    def judge(self, task: Task, answer: str) -> Score:
        """Compare the number."""
        return judged(same_answer(answer, task.reference), answer, "another number")
