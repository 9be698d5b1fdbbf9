"""`math/Dataset-v1`: questions and answers of a local JSONL file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from palestra.envs import SPLITS, Score, SingleTurnEnv, Split, Task, split_of, verdict
from palestra.envs.answers import last_number, lenient_answer, same_answer, strict_answer
from palestra.errors import ConfigError, DataError, did_you_mean


class DatasetEnv(SingleTurnEnv):
    """Questions of a local JSONL file, graded by number or text.

    The hash of the question decides its split, unless `split` says that the whole file is one.

    Args:
        path: the file, one JSON object a line.
        question: the column of the question.
        answer: the column of the answer. Of a worked answer, what follows ``####`` counts (GSM8K).
        language: the language the chain of thought should be in.
        split: take every row for this split (a test file is a test set).
        limit: read at most so many rows.
    """

    def __init__(
        self,
        path: str,
        question: str = "question",
        answer: str = "answer",
        language: str | None = None,
        split: Split | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__()
        if split is not None and split not in SPLITS:
            raise ConfigError(f"math/Dataset-v1: no split '{split}'.{did_you_mean(split, SPLITS)}")
        self._tasks: dict[str, list[Task]] = {"train": [], "validation": [], "test": []}
        rows = _rows(Path(path).expanduser(), (question, answer), limit)
        for number, row in rows:
            task = Task(
                prompt=str(row[question]).strip(),
                reference=str(row[answer]).rpartition("####")[2].strip(),
                language=language,
                id=f"row{number}",
            )
            self._tasks[split or split_of(task.prompt_hash)].append(task)

    def tasks(self, split: Split) -> Sequence[Task]:
        return self._tasks[split]

    def grade(self, task: Task, completion: str) -> Score:
        strict = strict_answer(completion)
        candidates = (lenient_answer(completion), last_number(completion))
        return verdict(
            strict,
            correct=same_answer(strict, task.reference),
            lenient=any(same_answer(c, task.reference) for c in candidates),
        )


def _rows(
    path: Path, columns: tuple[str, ...], limit: int | None
) -> list[tuple[int, dict[str, object]]]:
    if not path.is_file():
        raise ConfigError(f"math/Dataset-v1: no file {path}")
    rows: list[tuple[int, dict[str, object]]] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if limit is not None and len(rows) >= limit:
                break
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as exc:
                raise DataError(f"{path}:{number}: not JSON: {exc.msg}") from exc
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: expected an object with {', '.join(columns)}")
            for column in columns:
                if row.get(column) is None:
                    raise DataError(
                        f"{path}:{number}: no field '{column}'.{did_you_mean(column, row)} "
                        f"The row has: {', '.join(map(str, row))}"
                    )
            rows.append((number, row))
    if not rows:
        raise DataError(f"{path}: no rows")
    return rows
