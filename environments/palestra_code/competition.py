"""`code/Competition-v1`: programs that read standard input and write standard output."""

from __future__ import annotations

from typing import Any

from palestra.envs import Split
from palestra.errors import DataError
from palestra_code import languages
from palestra_code.dataset import DatasetEnv
from palestra_code.rows import checked_tests, field


class CompetitionEnv(DatasetEnv):
    """Competition problems of a file, in Python, C++ or JavaScript.

    A row's tests are a list of ``{"stdin", "stdout"}``, or an object of two lists, ``inputs`` and
    ``outputs``, as APPS and TACO have it.

    Args:
        path: the file, an object a line or a list of them.
        question: the column of the problem's text.
        tests: the column of its tests.
        solution: the column of a program that passes.
        split: take every row for this split.
        programming_language: ``python``, ``cpp`` or ``javascript``.
        rating: the column of a problem's rating, a whole number; it becomes its difficulty.
        limits: as of `ProgramEnv`.
    """

    def __init__(
        self,
        path: str,
        question: str = "question",
        tests: str = "tests",
        solution: str = "solution",
        split: Split | None = None,
        programming_language: str = "python",
        rating: str | None = None,
        **limits: Any,
    ) -> None:
        languages.find(programming_language, ())
        self.programming_language = programming_language
        self._rating = rating
        super().__init__(path, question, tests, solution, split, **limits)

    def _metadata(self, where: str, row: dict[str, Any], solution: str) -> dict[str, object]:
        metadata = super()._metadata(where, row, solution)
        if self._rating is None:
            return metadata
        given = field(where, row, self._rating)
        if not isinstance(given, int | float) or isinstance(given, bool) or given != int(given):
            raise DataError(f"{where}: field '{self._rating}' is a whole number, not {given!r}")
        return {**metadata, "difficulty": int(given)}

    def _tests(self, where: str, row: dict[str, Any], column: str) -> list[dict[str, object]]:
        given = field(where, row, column)
        if isinstance(given, dict):
            inputs, outputs = field(where, given, "inputs"), field(where, given, "outputs")
            if len(inputs) != len(outputs):
                raise DataError(f"{where}: {len(inputs)} inputs and {len(outputs)} outputs")
            given = [
                {"stdin": _text(a), "stdout": _text(b)}
                for a, b in zip(inputs, outputs, strict=True)
            ]
        listed = checked_tests(where, given)
        for number, test in enumerate(listed, start=1):
            if "stdin" not in test:
                raise DataError(f"{where}: test {number}: no field 'stdin'")
        return listed


def _text(given: Any) -> Any:
    """Return an input as text; some sets give a list of lines."""
    return "\n".join(given) if isinstance(given, list) else given
