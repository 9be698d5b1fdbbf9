"""`ProgramEnv`: what environments share whose answer is a program that has to pass tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from palestra.envs import Score, SingleTurnEnv, Split, Status, Task
from palestra.envs.answers import strict_answer
from palestra_code.grader import Reward, run_tests

_FENCE = re.compile(r"```[ \t]*[\w+-]*[ \t]*\n(.*?)```", re.DOTALL)


def program_of(completion: str) -> str | None:
    """Return the program in a completion's ``<answer>``, or None where there is none.

    Of several fenced blocks the last one counts; without a fence it is the whole answer.
    """
    answer = strict_answer(completion)
    if answer is None:
        return None
    blocks = _FENCE.findall(answer)
    return blocks[-1] if blocks else answer


class ProgramEnv(SingleTurnEnv):
    """Problems with tests. A task's reference is the tests; ``metadata["solution"]`` passes them.

    Args:
        sandbox: where programs run.
        timeout_s: seconds for each test.
        memory_mb: memory of a program.
        reward: 1 for all tests or nothing, or the fraction that pass.
    """

    programming_language = "python"

    def __init__(
        self,
        sandbox: str = "local",
        timeout_s: float = 10.0,
        memory_mb: int = 512,
        reward: Reward = "all",
    ) -> None:
        super().__init__()
        self._limits: dict[str, Any] = {
            "sandbox": sandbox,
            "timeout_s": timeout_s,
            "memory_mb": memory_mb,
            "reward": reward,
        }
        self._tasks: dict[str, list[Task]] = {"train": [], "validation": [], "test": []}

    def tasks(self, split: Split) -> Sequence[Task]:
        return self._tasks[split]

    def grade(self, task: Task, completion: str) -> Score:
        program = program_of(completion)
        if program is None:
            reason = "no <answer>…</answer> behind the thoughts"
            return Score(value=0.0, status=Status.UNPARSABLE, reason=reason)
        score = run_tests(
            str(task.metadata.get("before", "")) + program,
            cast("Sequence[Mapping[str, object]]", task.reference),
            language=self.programming_language,
            **self._limits,
        )
        return replace(score, extracted=program)

    def reference_completion(self, task: Task) -> str | None:
        solution = task.metadata.get("solution")
        if solution is None:
            return None
        return fenced("I write it and check it by hand.", str(solution))

    def probes(self, task: Task) -> Iterable[str]:
        """Cheats that leave the tests without running the function, or lie about equality."""
        for body in (
            "import sys\nsys.exit(0)",
            "import os\nos._exit(0)",
            "print('OK: all tests passed')",
            "class Any:\n    def __eq__(self, other):\n        return True\n",
        ):
            yield fenced("x", body)


def fenced(thoughts: str, program: str) -> str:
    """Return a completion whose answer is a program."""
    return f"<think>\n{thoughts}\n</think>\n<answer>\n```\n{program}\n```\n</answer>"
