"""`code/Dataset-v1`: problems and tests of a local JSON or JSONL file."""

from __future__ import annotations

from typing import Any

from palestra.envs import SPLITS, Split, Task, split_of
from palestra.errors import ConfigError, did_you_mean
from palestra_code.program_env import ProgramEnv
from palestra_code.rows import checked_tests, field, read_rows


class DatasetEnv(ProgramEnv):
    """Problems of a file, with tests of any form that `run_tests` knows.

    The hash of the question decides its split, unless `split` says that the whole file is one.

    Args:
        path: the file, an object a line or a list of them.
        question: the column of the problem's text.
        tests: the column of its tests.
        solution: the column of a program that passes; where there is one, it is the reference.
        split: take every row for this split.
        limits: as of `ProgramEnv`.
    """

    def __init__(
        self,
        path: str,
        question: str = "question",
        tests: str = "tests",
        solution: str = "solution",
        split: Split | None = None,
        **limits: Any,
    ) -> None:
        super().__init__(**limits)
        if split is not None and split not in SPLITS:
            raise ConfigError(f"code/Dataset-v1: no split '{split}'.{did_you_mean(split, SPLITS)}")
        for number, (where, row) in enumerate(read_rows("code/Dataset-v1", path), start=1):
            task = Task(
                prompt=str(field(where, row, question)).strip(),
                reference=self._tests(where, row, tests),
                metadata=self._metadata(where, row, solution),
                id=f"row{number}",
            )
            self._tasks[split or split_of(task.prompt_hash)].append(task)

    def _metadata(self, where: str, row: dict[str, Any], solution: str) -> dict[str, object]:
        return {"solution": row[solution]} if row.get(solution) else {}

    def _tests(self, where: str, row: dict[str, Any], column: str) -> list[dict[str, object]]:
        return checked_tests(where, field(where, row, column))
