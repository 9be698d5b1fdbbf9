"""What a mixture is told: an entry of a recipe's `mixtures`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from palestra.config import ConfigModel, Difficulty
from palestra.splits import Split


class SourceConfig(ConfigModel):
    """One environment of a mixture, and what its completions are rewarded for."""

    env: str
    """Id of the environment."""

    kwargs: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Arguments of the environment."""

    weight: float = Field(default=1.0, gt=0.0)
    """Share of the draws, relative to the other sources'."""

    split: Split = "train"
    """Split that tasks are drawn from."""

    difficulty: Difficulty = None
    """Level, or [lowest, highest]; the environment's whole range where absent."""

    language: str | None = None
    """Language of the questions; every one of the environment's where absent."""

    rewards: dict[str, float] = Field(default_factory=lambda: {"accuracy": 1.0}, min_length=1)
    """Weight of each named reward: a component that the environment emits, or a reward model;
    ``env.NAME`` or ``model.NAME`` where both offer the name."""

    on_grader_error: Literal["mask", "retry", "raise"] = "mask"
    """What becomes of a completion whose grading failed."""

    on_length: Literal["grade", "zero", "mask"] = "grade"
    """What becomes of a completion that was cut at `max_tokens`."""


class MixtureConfig(ConfigModel):
    """Weighted sources of tasks."""

    sources: list[SourceConfig] = Field(min_length=1)
    """The environments that tasks are drawn from."""
