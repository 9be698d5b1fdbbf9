"""`Score`: what a grader says of one completion, with a status that a failure cannot fake."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


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
        components: named parts that a recipe weighs; ``{"accuracy": value}`` where none are given.
        status: how the grading ended.
        reason: one line for a person who wonders why.
        extracted: the answer that was read out of the completion.
        steps: process rewards as ``(char_end, value)``, in the order of the text.
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
        for name, value in self.components.items():
            if not math.isfinite(value):
                raise ValueError(f"component '{name}' must be finite, not {value}")

    @classmethod
    def failed(cls, reason: str, status: Status = Status.ERROR) -> Score:
        """Return the score of a grading that did not come to a verdict: 0.0, and not valid."""
        return cls(value=0.0, components={}, status=status, reason=reason)
