"""`code/Repair-v1`: find the bug in a function, with the grader's feedback in between."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any, cast

import numpy as np

from palestra.envs import MultiTurnEnv, Score, Status, Task, Turn
from palestra.terminal import visible
from palestra_code.compare import identical
from palestra_code.grader import run_tests
from palestra_code.mutate import Mutant, mutants
from palestra_code.program_env import fenced, program_of
from palestra_code.workshop import PIECES, Piece

_TESTS = 12
_TRIALS = 60  # inputs on which a fault has to show
_ASK = (
    "This function is meant to return {purpose}, but it has a bug.\n\n```python\n{source}\n```\n\n"
    "{examples}\n\nAnswer with the whole mended function."
)


class RepairEnv(MultiTurnEnv):
    """Mend a function that has one fault; what fails is said after each of three tries.

    Args:
        sandbox: where programs run.
        timeout_s: seconds for each test.
    """

    max_turns = 3

    def __init__(self, sandbox: str = "local", timeout_s: float = 2.0) -> None:
        super().__init__()
        self._sandbox = sandbox
        self._timeout_s = timeout_s
        self._turn = 0

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        piece = PIECES[int(rng.integers(len(PIECES)))]
        broken = _broken(piece)
        mutant = broken[int(rng.integers(len(broken)))]
        cases = _cases(piece, rng, mutant)
        shown = "\n".join(
            f"{piece.name}({', '.join(map(repr, case['args']))}) has to be {case['expected']!r}"
            for case in cases[:2]
        )
        return Task(
            prompt=_ASK.format(purpose=piece.purpose, source=mutant.source, examples=shown),
            reference=cases,
            metadata={"solution": piece.source, "broken": mutant.source},
        )

    def begin(self, task: Task) -> str:
        self._turn = 0
        return super().begin(task)

    def respond(self, task: Task, action: str) -> Turn:
        self._turn += 1
        last = self._turn >= self.max_turns
        program = program_of(action)
        if program is None:
            reason = "no <answer>…</answer> behind the thoughts"
            score = Score(value=0.0, status=Status.UNPARSABLE, reason=reason)
            return Turn(observation="" if last else f"There is {reason}.", score=score, done=last)
        tests = cast("list[dict[str, object]]", task.reference)
        score = run_tests(program, tests, self._sandbox, timeout_s=self._timeout_s)
        score = replace(score, extracted=program)
        done = last or score.value == 1.0 or not score.status.is_valid
        said = "" if done else f"Not yet: {visible(score.reason)}. Try again."
        return Turn(observation=said, score=score, done=done)

    def reference_completion(self, task: Task) -> str:
        return _answer(task.metadata["solution"])

    def probes(self, task: Task) -> Iterable[str]:
        """The broken function as it was, and a program that leaves before it is asked."""
        return [_answer(task.metadata["broken"]), _answer("import os\nos._exit(0)")]


def _answer(program: object) -> str:
    return fenced("I read it line by line.", str(program))


@cache
def _broken(piece: Piece) -> tuple[Mutant, ...]:
    """Return the faults of a piece that show on some drawn input."""
    rng = np.random.default_rng(0)
    inputs = [piece.draw(rng) for _ in range(_TRIALS)]
    right = [_run(piece.source, piece.name, args) for args in inputs]
    return tuple(
        mutant
        for mutant in mutants(piece.source)
        if any(
            not identical(_run(mutant.source, piece.name, args), expected)
            for args, expected in zip(inputs, right, strict=True)
        )
    )


def _cases(piece: Piece, rng: np.random.Generator, mutant: Mutant) -> list[dict[str, Any]]:
    """Draw tests; among them is one that the fault fails."""
    while True:
        drawn = [piece.draw(rng) for _ in range(_TESTS)]
        expected = [_run(piece.source, piece.name, args) for args in drawn]
        wrong = [
            not identical(_run(mutant.source, piece.name, args), value)
            for args, value in zip(drawn, expected, strict=True)
        ]
        if any(wrong):
            return [
                {"function": piece.name, "args": args, "expected": value}
                for args, value in zip(drawn, expected, strict=True)
            ]


def _run(source: str, name: str, args: list[Any]) -> Any:
    """Run one of our own functions, or our own fault in one; what it raises is its value."""
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    try:
        copied = [list(each) if isinstance(each, list) else each for each in args]
        return namespace[name](*copied)
    except (ArithmeticError, LookupError, TypeError, ValueError) as exc:
        return f"raises {type(exc).__name__}"
