"""`brevity`: a small reward against thoughts that go on and on."""

from __future__ import annotations

from collections.abc import Sequence

from palestra import Score
from palestra.rewards.base import Scored

LONGEST = 1_000
"""Characters of thoughts from which on nothing is paid."""


class BrevityReward:
    """Falls in a line from 1 to 0 with the length of the thoughts; nothing without an answer.

    Give it a small weight (0.1): a policy that is paid more for brevity than for being right stops
    thinking.
    """

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        """Return one score for each completion."""
        values = [_brevity(item.completion) for item in batch]
        return [Score(value=value, components={"brevity": value}) for value in values]


def _brevity(completion: str) -> float:
    thoughts, closed, answer = completion.rpartition("</think>")
    if not closed or not answer.strip():  # cut off, or nothing behind the thoughts
        return 0.0
    return max(0.0, 1.0 - len(thoughts.removeprefix("<think>").strip()) / LONGEST)
