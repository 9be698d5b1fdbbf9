"""`math/Dataset-v1`: questions and answers of a file or a Hub data set; GSM8K, MATH and AIME."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from palestra.envs import SPLITS, Split, Task, split_of
from palestra.errors import ConfigError, DataError, did_you_mean
from palestra_math import rows
from palestra_math.answering import AnswerEnv
from palestra_math.extract import extract
from palestra_math.grader import read_reference
from palestra_math.limits import Unreadable


class DatasetEnv(AnswerEnv):
    """Questions of a local file or of the Hugging Face Hub.

    The hash of the question decides its split, unless `split` says that the whole file is one.
    Each reference is read by the grader when the data is loaded: one that it cannot read is an
    error with its row number, not a question that nobody can answer.

    Args:
        path: a JSONL, CSV or Parquet file, or the id of a data set on the Hub (``openai/gsm8k``).
        question: the column of the question.
        answer: the column of the answer. Of a worked answer, what follows ``####`` counts (GSM8K),
            or what stands in the last box (MATH).
        language: the language the chain of thought should be in.
        split: take every row for this split (a test file is a test set).
        limit: read at most so many rows.
        hub_split: which split of a Hub data set to read.
        hub_config: which configuration of a Hub data set to read.
    """

    name = "math/Dataset-v1"

    def __init__(
        self,
        path: str,
        question: str = "question",
        answer: str = "answer",
        language: str | None = None,
        split: Split | None = None,
        limit: int | None = None,
        hub_split: str = "train",
        hub_config: str | None = None,
    ) -> None:
        super().__init__()
        if split is not None and split not in SPLITS:
            raise ConfigError(f"{self.name}: no split '{split}'.{did_you_mean(split, SPLITS)}")
        self._columns = (question, answer)
        self._language = language
        self._tasks: dict[str, list[Task]] = {s: [] for s in SPLITS}
        if _is_local(path):
            file = Path(path).expanduser()
            if not file.is_file():
                raise ConfigError(f"{self.name}: no file {file}")
            found = rows.read_file(file, self._columns, limit)
        else:
            found = rows.read_hub(path, hub_split, hub_config, limit)
        if not self._add(path, found, split):
            raise DataError(f"{path}: no rows")

    def _add(self, where: str, found: Iterable[tuple[int, rows.Row]], split: Split | None) -> int:
        count = 0
        for number, row in found:
            task = self._task(row, f"{where}:{number}", f"row{number}")
            self._tasks[split or split_of(task.prompt_hash)].append(task)
            count += 1
        return count

    def _task(self, row: rows.Row, where: str, id_: str) -> Task:
        prompt, answer = (rows.field(row, column, where) for column in self._columns)
        reference = final_answer(answer)
        try:
            read_reference(reference)
        except Unreadable as exc:
            raise DataError(
                f"{where}: the grader cannot read field '{self._columns[1]}': {exc}"
            ) from exc
        return Task(prompt=prompt, reference=reference, language=self._language, id=id_)

    def tasks(self, split: Split) -> Sequence[Task]:
        return self._tasks[split]


def final_answer(worked: str) -> str:
    r"""Return what a worked answer comes to: behind ``####``, in the last ``\boxed{}``, or all."""
    if "####" in worked:
        return worked.rpartition("####")[2].strip()
    if "\\boxed" in worked:
        return extract(worked, ("boxed",)).text or worked
    return worked


class GSM8KEnv(DatasetEnv):
    """Grade-school word problems (GSM8K). From the Hub, or a file with the same columns."""

    name = "math/GSM8K-v1"

    def __init__(
        self, path: str = "openai/gsm8k", split: Split | None = None, limit: int | None = None
    ) -> None:
        hub = "test" if split == "test" else "train"
        super().__init__(
            path, split=split, limit=limit, language="en", hub_split=hub, hub_config="main"
        )


class MATHEnv(DatasetEnv):
    """Competition problems with LaTeX answers (MATH)."""

    name = "math/MATH-v1"

    def __init__(
        self,
        path: str = "DigitalLearningGmbH/MATH-lighteval",
        question: str = "problem",
        answer: str = "solution",
        split: Split | None = None,
        limit: int | None = None,
    ) -> None:
        hub = "test" if split == "test" else "train"
        super().__init__(path, question, answer, "en", split, limit, hub)


class SVAMPEnv(DatasetEnv):
    """One-step word problems with numbers that are not needed (SVAMP). A test set.

    A row's question is its ``Body`` and then its ``Question``.
    """

    name = "math/SVAMP-v1"

    def __init__(
        self, path: str = "ChilleD/SVAMP", split: Split = "test", limit: int | None = None
    ) -> None:
        super().__init__(path, "Question", "Answer", "en", split, limit, hub_split="test")

    def _task(self, row: rows.Row, where: str, id_: str) -> Task:
        body = rows.field(row, "Body", where)
        stop = "" if body.endswith((".", "?", "!", ",")) else "."
        question = f"{body}{stop} {rows.field(row, 'Question', where)}"
        return super()._task({**row, "Question": question}, where, id_)


class AIMEEnv(DatasetEnv):
    """AIME 2024: thirty questions, every answer an integer from 0 to 999. A test set."""

    name = "math/AIME-v1"

    def __init__(
        self,
        path: str = "HuggingFaceH4/aime_2024",
        question: str = "problem",
        answer: str = "answer",
        split: Split = "test",
        limit: int | None = None,
    ) -> None:
        super().__init__(path, question, answer, "en", split, limit)


def _is_local(path: str) -> bool:
    """Whether `path` is a file's: one that exists, or one that no Hub id looks like."""
    return (
        Path(path).expanduser().exists()
        or path.endswith(rows.SUFFIXES)
        or path.count("/") != 1
        or path.startswith((".", "~", "/"))
    )
