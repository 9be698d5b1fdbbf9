"""`Score`: what a grader says of one completion, with a status that a failure cannot fake."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

STEPS = "steps"
"""What recipes call the process rewards of an environment."""


class Status(StrEnum):
    """How a grading ended. Only `ok` and `unparsable` are verdicts."""

    OK = "ok"
    UNPARSABLE = "unparsable"  # no answer found: a wrong answer, and a valid verdict
    TIMEOUT = "timeout"
    ERROR = "error"
    PENDING = "pending"  # a group's grader has yet to speak

    @property
    def is_valid(self) -> bool:
        """Whether the score may enter a training signal."""
        return self in (Status.OK, Status.UNPARSABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A grader's verdict on one completion.

    Attributes:
        value: what a Gymnasium user gets as the reward.
        components: named parts that a recipe weighs; ``{"accuracy": value}`` where none are given,
            and ``steps``, the sum of the process rewards, where there are any.
        status: how the grading ended.
        reason: one line for a person who wonders why.
        extracted: the answer that was read out of the completion.
        steps: process rewards as ``(char_end, value)``, in the order of the text: each is of the
            step whose last character stands before `char_end` of the completion, prefill included.
    """

    value: float
    components: Mapping[str, float] = field(default_factory=dict[str, float])
    status: Status = Status.OK
    reason: str = ""
    extracted: str | None = None
    steps: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(
                f"a Score's value must be finite, not {self.value}; "
                "a grader that failed returns value=0.0 and status='error'"
            )
        object.__setattr__(self, "status", Status(self.status))
        if not self.components:
            object.__setattr__(self, "components", {"accuracy": float(self.value)})
        if self.steps:
            _check_steps(self.steps)
            total = float(sum(value for _, value in self.steps))
            object.__setattr__(self, "components", {**self.components, STEPS: total})
        for name, value in self.components.items():
            if not math.isfinite(value):
                raise ValueError(f"component '{name}' must be finite, not {value}")

    @property
    def paid(self) -> float:
        """What a reward model's score is worth: its steps where it has some, else its value."""
        return float(sum(value for _, value in self.steps)) if self.steps else self.value

    @classmethod
    def failed(cls, reason: str, status: Status = Status.ERROR) -> Score:
        """Return the score of a grading that did not come to a verdict: 0.0, and not valid."""
        return cls(value=0.0, components={}, status=status, reason=reason)


def _check_steps(steps: tuple[tuple[int, float], ...]) -> None:
    """Refuse steps that do not follow each other, or whose value is no number."""
    before = 0
    for end, value in steps:
        if end < before or not math.isfinite(value):
            raise ValueError(
                f"steps are (char_end, finite value) in the order of the text, not ({end}, {value})"
            )
        before = end
