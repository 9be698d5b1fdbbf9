"""The questions of an evaluation, one by one, as a file: what `paired` compares two runs by.

Measures are means over questions, and two runs that answered the same ones can be compared far more
narrowly than by their two intervals. So each evaluation leaves a row for every question.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palestra.errors import DataError
from palestra.evaluation.metrics import Question, Sample

FILE = "questions.parquet"
"""Name of the file in a stage's folder; each of its evaluations replaces it."""

METRICS: Mapping[str, Callable[[Sample], float | None]] = {
    "pass@1": lambda sample: sample.correct,
    "lenient@1": lambda sample: sample.lenient,
    "format": lambda sample: sample.format,
    "language_consistency": lambda sample: sample.language,
    "mean_length": lambda sample: float(sample.length),
}
"""What is kept of the samples of a question, by the measure's name; ``greedy`` is kept beside."""

PROPORTIONS = (*(name for name in METRICS if name != "mean_length"), "greedy")
"""The measures that lie between 0 and 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One question, and what its samples came to.

    Attributes:
        env: label of the environment in the evaluation.
        task_id: of the question.
        prompt_hash: of what the model was shown.
        samples: completions made of it.
        valid: those whose grader spoke.
        means: of each metric over the valid samples that have it; ``pass@1`` times `valid` is the
            number of correct ones.
    """

    env: str
    task_id: str
    prompt_hash: str
    samples: int
    valid: int
    means: Mapping[str, float]

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same question in another run."""
        return self.env, self.task_id, self.prompt_hash


def write_answered(answered: Mapping[str, Sequence[Question]], file: Path) -> None:
    """Write a row for each question, by environment, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_row(env, question) for env, found in answered.items() for question in found]
    numbers = [pa.field(name, pa.float64()) for name in (*METRICS, "greedy")]
    names = [pa.field(name, pa.string()) for name in ("env", "task_id", "prompt_hash")]
    counts = [pa.field("samples", pa.int32()), pa.field("valid", pa.int32())]
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    table = pa.Table.from_pylist(rows, schema=pa.schema([*names, *counts, *numbers]))
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(file)


def _row(env: str, question: Question) -> dict[str, Any]:
    greedy = question.greedy
    return {
        "env": env,
        "task_id": question.task_id,
        "prompt_hash": question.prompt_hash,
        "samples": len(question.samples),
        "valid": len(question.valid),
        **{name: _mean(question, read) for name, read in METRICS.items()},
        "greedy": greedy.correct if greedy is not None and greedy.valid else None,
    }


def _mean(question: Question, read: Callable[[Sample], float | None]) -> float | None:
    values = [value for value in map(read, question.valid) if value is not None]
    return math.fsum(values) / len(values) if values else None


def read_answered(file: Path) -> list[Answered]:
    """Return the rows of a file that `write_answered` wrote.

    Raises:
        DataError: the file is damaged, or another kind of file.
    """
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    try:
        rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
        return [
            Answered(
                env=row["env"],
                task_id=row["task_id"],
                prompt_hash=row["prompt_hash"],
                samples=row["samples"],
                valid=row["valid"],
                means={n: row[n] for n in (*METRICS, "greedy") if row.get(n) is not None},
            )
            for row in rows
        ]
    except (ArrowException, OSError, KeyError) as exc:
        why = " ".join(str(exc).split())
        raise DataError(f"{file}: no record of an evaluation's questions: {why}") from exc
