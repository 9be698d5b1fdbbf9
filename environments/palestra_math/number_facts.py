"""`math/NumberFacts-v1`: sums and differences within 20, and the tables of multiplication."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from palestra.envs import SPLITS, Split, Task, split_of
from palestra_math.answering import AnswerEnv


class NumberFactsEnv(AnswerEnv):
    """What one learns by heart: all 622 facts, each asked in one wording, so that no rewording of a
    test question is trained on (``3 + 4`` and ``4 + 3`` are two facts).

    Sums of 1 to 19 that come to at most 20, differences of numbers up to 20, and products and
    quotients of the tables from 2 to 12.
    """

    def __init__(self) -> None:
        super().__init__()
        self._tasks: dict[str, list[Task]] = {split: [] for split in SPLITS}
        for question, value in _facts():
            task = Task(prompt=f"What is {question}?", reference=str(value), language="en")
            self._tasks[split_of(task.prompt_hash)].append(task)

    def tasks(self, split: Split) -> Sequence[Task]:
        return self._tasks[split]


def _facts() -> Iterator[tuple[str, int]]:
    """Yield each question and what it comes to."""
    for a in range(1, 21):
        yield from ((f"{a} + {b}", a + b) for b in range(1, 21 - a))
        yield from ((f"{a} - {b}", a - b) for b in range(1, a))
    for a in range(2, 13):
        yield from ((f"{a} times {b}", a * b) for b in range(2, 13))
        yield from ((f"{a * b} divided by {b}", a) for b in range(2, 13))
