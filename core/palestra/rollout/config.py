"""How completions are drawn: the `sampling` block of a stage."""

from __future__ import annotations

from pydantic import Field, field_validator

from palestra.config import ConfigModel

DEFAULT_MAX_TOKENS = 128


class SamplingConfig(ConfigModel):
    """How completions are drawn."""

    temperature: float = 1.0
    """Divides the logits; above 0."""

    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the probability that may be sampled from; 1 for all of it."""

    top_k: int = Field(default=0, ge=0)
    """Number of likeliest tokens that may be sampled; 0 for all."""

    max_tokens: int = Field(default=DEFAULT_MAX_TOKENS, ge=1)
    """New tokens a completion may have at most."""

    @field_validator("temperature")
    @classmethod
    def _temperature(cls, value: float) -> float:
        if value <= 0.0:
            raise ValueError(
                f"should be above 0, not {value:g}: greedy decoding makes every member of a group "
                "the same (only `eval` may use temperature 0)"
            )
        return value


class RLSamplingConfig(SamplingConfig):
    """Sampling for training by RL: always from the full softmax, whose log-probs the loss needs."""

    @field_validator("top_p")
    @classmethod
    def _top_p(cls, value: float) -> float:
        if value != 1.0:
            raise ValueError(
                f"should be 1 in an rl stage, not {value:g}: log-probs must be of the full softmax"
            )
        return value

    @field_validator("top_k")
    @classmethod
    def _top_k(cls, value: int) -> int:
        if value != 0:
            raise ValueError(
                f"should be 0 in an rl stage, not {value}: log-probs must be of the full softmax"
            )
        return value
