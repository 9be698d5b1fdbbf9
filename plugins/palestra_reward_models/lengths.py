"""`length` and `overlong`: rewards that look at how long a completion is, and at nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from palestra.config import ConfigModel
from palestra.envs import Score
from palestra.rewards.base import Scored
from palestra.rewards.shaping import OverlongConfig

Unit = Literal["tokens", "characters"]


class LengthConfig(ConfigModel):
    """Options of ``{type: length}``."""

    target: int = Field(ge=1)
    """Length that earns 1."""

    unit: Unit = "tokens"
    """What is counted: the policy's tokens in the whole episode, or the completion's characters."""


class LengthReward:
    """1 - |length - target| / target, and not below 0 (after L1, arXiv 2503.04697)."""

    def __init__(self, config: LengthConfig) -> None:
        self.config = config

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        """Return 1 at the target, falling to 0 at nothing and at twice as much."""
        return [self._score(item) for item in batch]

    def _score(self, item: Scored) -> Score:
        target = self.config.target
        length = len(item.completion) if self.config.unit == "characters" else item.tokens
        if length is None:
            return _uncounted()
        value = max(0.0, 1 - abs(length - target) / target)
        return Score(value=value, components={"length": value})


class OverlongReward:
    """DAPO's soft punishment as a reward: 0, then falling linearly over the buffer, then -1."""

    def __init__(self, config: OverlongConfig) -> None:
        self.config = config

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        """Return 0 down to -1 for each, by the policy's tokens in the whole episode."""
        return [self._score(item) for item in batch]

    def _score(self, item: Scored) -> Score:
        if item.tokens is None:
            return _uncounted()
        value = -self.config.cost(item.tokens)
        return Score(value=value, components={"overlong": value})


def _uncounted() -> Score:
    return Score.failed("nobody counted the completion's tokens")
