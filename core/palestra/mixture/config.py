"""What a mixture is told: an entry of a recipe's `mixtures`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from palestra.config import ConfigModel, Difficulty, PluginBlock
from palestra.splits import Split


class SourceSampling(ConfigModel):
    """How a source's completions are drawn; what is absent is as the stage has it."""

    temperature: float | None = Field(default=None, gt=0.0)
    """Divides the logits. In an rl stage it must be the stage's own."""

    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    """Share of the probability that may be sampled from. In an rl stage it must be 1."""

    top_k: int | None = Field(default=None, ge=0)
    """Number of likeliest tokens that may be sampled. In an rl stage it must be 0."""


def _default_weight(values: dict[str, Any]) -> float:
    return 0.0 if values.get("quota") is not None else 1.0


class SourceConfig(ConfigModel):
    """One environment of a mixture, and what its completions are rewarded for."""

    env: str
    """Id of the environment."""

    kwargs: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Arguments of the environment."""

    quota: int | None = Field(default=None, ge=1)
    """Exact number of prompts of each step; instead of a weight."""

    weight: float = Field(default_factory=_default_weight, ge=0.0)
    """Share of the prompts that quotas leave, relative to the other weights; 0 is off. 1 where
    neither a weight nor a quota is given."""

    floor: float = Field(default=0.0, ge=0.0, le=1.0)
    """Least share of the prompts of each step, rounded up to whole prompts. It steps in only where
    the weights have drawn fewer."""

    split: Split = "train"
    """Split that tasks are drawn from."""

    difficulty: Difficulty = None
    """Level, or [lowest, highest]; the environment's whole range where absent."""

    language: str | None = None
    """Language of the questions; every one of the environment's where absent."""

    rewards: dict[str, float] = Field(default_factory=lambda: {"accuracy": 1.0}, min_length=1)
    """Weight of each named reward: a component that the environment emits, or a reward model;
    ``env.NAME`` or ``model.NAME`` where both offer the name."""

    group_size: int | None = Field(default=None, ge=1)
    """Completions of each prompt; the stage's where absent."""

    max_tokens: int | None = Field(default=None, ge=1)
    """New tokens that a completion may have; the stage's where absent."""

    sampling: SourceSampling = Field(default_factory=SourceSampling)
    """How completions are drawn, where that differs from the stage."""

    on_grader_error: Literal["mask", "retry", "raise"] = "mask"
    """What becomes of a completion whose grading failed."""

    max_grader_errors: float = Field(default=0.1, ge=0.0, le=1.0)
    """Share of completions whose grading may fail, over the last ten steps; above it the run stops.
    They are never counted as wrong."""

    on_length: Literal["grade", "zero", "mask"] = "grade"
    """What becomes of a completion that was cut at `max_tokens`."""

    @model_validator(mode="after")
    def _one_share(self) -> SourceConfig:
        if self.quota is not None and self.weight > 0:
            raise ValueError(
                "has both `quota` and `weight`: a quota is an exact number of prompts, a weight a "
                "share of the rest; keep one"
            )
        if self.quota is not None and self.floor > 0:
            raise ValueError("has both `quota` and `floor`: a quota is exact; keep one")
        return self


class CurriculumConfig(PluginBlock):
    """What decides how hard the next tasks are, ``{type: success_rate, low: 0.2, high: 0.8}``;
    options are its plugin's own."""

    type: str
    """Name of the curriculum."""


class MixtureConfig(ConfigModel):
    """Sources of tasks, and how many prompts each gives."""

    sources: list[SourceConfig] = Field(min_length=1)
    """The environments that tasks are drawn from. In a recipe's file, an entry may also be
    ``{mixture: NAME, weight: 2}``: the sources of another mixture, which share that weight."""

    curriculum: CurriculumConfig | None = None
    """Moves weights and difficulty from step to step; nothing moves where absent."""

    @field_validator("sources")
    @classmethod
    def _something_to_draw(cls, value: list[SourceConfig]) -> list[SourceConfig]:
        if all(source.weight == 0 and source.quota is None for source in value):
            raise ValueError(
                "every weight is 0, so there is nothing to draw: give one source a weight above 0"
            )
        floors = sum(source.floor for source in value)
        if floors > 1 + 1e-9:
            raise ValueError(f"the floors add up to {floors:g}, above 1: lower one")
        return value


def labels(sources: list[SourceConfig]) -> list[str]:
    """Return what metrics and tables call each source: its environment's id.

    Where an id stands twice, the place in the list is behind it: ``math/Arithmetic-v1#2``.
    """
    ids = [source.env for source in sources]
    return [env if ids.count(env) == 1 else f"{env}#{i}" for i, env in enumerate(ids)]
