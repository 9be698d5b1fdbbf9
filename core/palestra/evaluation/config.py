"""What an evaluation is told: the `eval` block of a recipe or a stage."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from palestra.config import ConfigModel, Difficulty
from palestra.splits import Split


class EvalEnv(ConfigModel):
    """One environment of an evaluation; an id alone stands for ``{env: ID}``."""

    env: str
    """Id of the environment."""

    kwargs: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Arguments of the environment."""

    difficulty: Difficulty = None
    """Level, or [lowest, highest]; the environment's whole range where absent."""

    language: str | None = None
    """Language of the questions; every one of the environment's where absent."""

    split: Split = "test"
    """Split that the questions come from."""

    @model_validator(mode="before")
    @classmethod
    def _from_id(cls, value: object) -> object:
        return {"env": value} if isinstance(value, str) else value


def _default_pass_at(values: dict[str, Any]) -> list[int]:
    return [min(4, int(values.get("samples", 4)))]


class EvalConfig(ConfigModel):
    """An evaluation on fixed held-out questions."""

    envs: list[EvalEnv] = Field(min_length=1)
    """Environments, each an id or a mapping."""

    questions: int = Field(default=150, ge=1)
    """Questions from each environment."""

    samples: int = Field(default=4, ge=1)
    """Completions of each question."""

    pass_at: list[Annotated[int, Field(ge=1)]] = Field(default_factory=_default_pass_at)
    """Values of k for pass@k and cons@k, none above `samples`."""

    temperature: float = Field(default=1.0, ge=0.0)
    """Divides the logits; 0 is greedy."""

    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the probability that may be sampled from."""

    top_k: int = Field(default=0, ge=0)
    """Number of likeliest tokens that may be sampled; 0 for all."""

    max_tokens: int | None = Field(default=None, ge=1)
    """New tokens a completion may have; what the stage itself samples with where absent."""

    greedy: bool = True
    """Whether each question is also answered once greedily."""

    every: int = Field(default=0, ge=0)
    """Steps between evaluations during the stage; 0 for the end of the stage only."""

    seed: int = Field(default=0, ge=0)
    """Seed of the questions: the same in every stage that is to be compared."""

    @field_validator("pass_at")
    @classmethod
    def _pass_at(cls, value: list[int], info: ValidationInfo) -> list[int]:
        samples = info.data.get("samples")
        if samples is not None and value and max(value) > samples:
            raise ValueError(
                f"pass@{max(value)} needs at least {max(value)} samples a question; "
                f"`samples` is {samples}"
            )
        return sorted(set(value))
