"""`code/MBPP-v1`: mostly basic Python problems (Austin et al., arXiv:2108.07732), sanitized."""

from __future__ import annotations

from typing import Any

from palestra.envs import Split, Task
from palestra_code.program_env import ProgramEnv
from palestra_code.rows import checked_tests, field, read_rows

ENV = "code/MBPP-v1"


class MBPPEnv(ProgramEnv):
    """Write a function from one sentence and its first test.

    Args:
        path: ``sanitized-mbpp.json``, from the paper's authors.
        limits: as of `ProgramEnv`.
    """

    def __init__(self, path: str, **limits: Any) -> None:
        super().__init__(**limits)
        for where, row in read_rows(ENV, path):
            number = int(field(where, row, "task_id"))
            self._tasks[_split(number)].append(_task(where, row, number))


def _task(where: str, row: dict[str, Any], number: int) -> Task:
    imports = "\n".join(row.get("test_imports") or ())
    asserts = [str(each) for each in field(where, row, "test_list")]
    tests = [{"assert": f"{imports}\n{each}"} for each in asserts]
    return Task(
        prompt=f"{str(field(where, row, 'prompt')).strip()} It has to pass: {asserts[0]}"
        if asserts
        else str(row["prompt"]),
        reference=checked_tests(where, tests),
        metadata={"solution": field(where, row, "code")},
        id=f"mbpp{number}",
    )


def _split(number: int) -> Split:
    """The paper's splits; its ten problems for prompting count as training."""
    if 11 <= number <= 510:
        return "test"
    return "validation" if 511 <= number <= 600 else "train"
