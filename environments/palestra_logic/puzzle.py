"""What the puzzles share: one answer is read, strictly, and checked as a certificate.

A puzzle is right when its answer satisfies the puzzle, whether or not it is the one the generator
had in mind. Reading is bounded before anything is parsed, so these graders may run inline.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TypeVar

from palestra.envs import Score, SingleTurnEnv, Task, verdict
from palestra.envs.answers import lenient_answer, strict_answer

MAX_CHARACTERS = 2_000
"""A longer answer is wrong unread: the longest right one has a few hundred."""

_ANSWERS = re.compile(r"<answer>((?:(?!</?answer>).)*)</answer>", re.DOTALL)
_BETWEEN = re.compile(r"[,;、\n]+|\s(?:and|und)\s|和")
_IS = re.compile(r"[:=→]|->|\bis\s+an?\s|\bis\s|\bist\s+eine?\s|\bist\s|是|为", re.IGNORECASE)

Value = TypeVar("Value")


class PuzzleEnv(SingleTurnEnv):
    """A puzzle with a checkable answer; subclasses write `sample`, `fits` and `reasons`."""

    def fits(self, task: Task, answer: str) -> bool:
        """Whether `answer`, of bounded length and NFKC form, solves the puzzle."""
        raise NotImplementedError(f"{type(self).__name__} must define fits()")

    def reasons(self, task: Task) -> list[str]:
        """Return the lines of a short argument for the reference, in the task's language."""
        raise NotImplementedError(f"{type(self).__name__} must define reasons()")

    def wrong_answers(self, task: Task) -> Iterable[str]:
        """Return answers that come close, and do not solve the puzzle."""
        return ()

    def grade(self, task: Task, completion: str) -> Score:
        if is_hedged(completion):
            return Score(
                value=0.0,
                components={"accuracy": 0.0, "lenient_accuracy": 0.0},
                reason="two different answers",
            )
        strict = strict_answer(completion)
        correct = self._is_right(task, strict)
        return verdict(
            strict,
            correct=correct,
            lenient=correct or self._is_right(task, lenient_answer(completion)),
        )

    def reference_completion(self, task: Task) -> str:
        return worked(self.reasons(task), str(task.reference))

    def probes(self, task: Task) -> Iterable[str]:
        reference = str(task.reference)
        yield f"<think>\n<answer>{reference}</answer>\n</think>"
        yield answered(f"{reference}\n{reference}")
        for wrong in self.wrong_answers(task):
            yield answered(wrong)
            yield answered(f"{reference}\n{wrong}")
            yield answered(f"{wrong}\n{reference}")
            yield f"{answered(wrong)}\n<answer>{reference}</answer>"
            yield f"{answered(reference)}\n<answer>{wrong}</answer>"

    def _is_right(self, task: Task, answer: str | None) -> bool:
        plain = bounded(answer)
        return plain is not None and self.fits(task, plain)


def is_hedged(completion: str) -> bool:
    """Whether the text behind the first thoughts gives two answers that differ, or one in another.

    Thoughts that are opened again do not take back the answer before them.
    """
    head, closed, tail = completion.partition("</think>")
    text = tail if closed else head
    found = _ANSWERS.findall(text)
    if found and not text.count("<answer>") == text.count("</answer>") == len(found):
        return True
    return len({" ".join(answer.split()).casefold() for answer in found}) > 1


def bounded(answer: str | None) -> str | None:
    """Return an answer that is short enough to parse in NFKC form, without emphasis; else None."""
    if answer is None or len(answer) > MAX_CHARACTERS:
        return None
    return unicodedata.normalize("NFKC", answer).strip().strip("*`.。").strip() or None


def answered(answer: str) -> str:
    """Return a completion that gives `answer` with no thoughts."""
    return f"<think>\n</think>\n<answer>{answer}</answer>"


def worked(lines: Iterable[str], answer: str) -> str:
    """Return a completion that thinks `lines` and gives `answer`."""
    return f"<think>\n{chr(10).join(lines)}\n</think>\n<answer>{answer}</answer>"


def parts(answer: str) -> list[str]:
    """Return the items of a list that is written with commas, lines or "and"."""
    return [item for part in _BETWEEN.split(answer) if (item := part.strip().rstrip(".。"))]


def assignment(
    answer: str, keys: Iterable[str], values: Mapping[str, Value]
) -> dict[str, Value] | None:
    """Read ``key: value, key = value, key is a value``.

    Args:
        answer: the text, all of it.
        keys: what must be given a value, each exactly once.
        values: what each word means; the words are in lower case.

    Returns:
        A value for each key; None where one is missing, stands twice, or anything else is said.
    """
    wanted = {key.casefold(): key for key in keys}
    found: dict[str, Value] = {}
    for part in parts(answer):
        match = _IS.search(part)
        if match is None:
            return None
        key = wanted.get(part[: match.start()].strip().casefold())
        word = part[match.end() :].strip().casefold()
        if key is None or key in found or word not in values:
            return None
        found[key] = values[word]
    return found if len(found) == len(wanted) else None
