"""DAPO's soft punishment of overlong completions, which optimizer and reward model share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class OverlongConfig(BaseModel):
    """The soft punishment of completions that come near the longest length (arXiv 2503.14476,
    eq. 13)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_length: int = Field(ge=1)
    """Tokens at which a completion costs 1, as one beyond does. The paper's: 20480."""

    buffer: int = Field(ge=1)
    """Tokens before it over which the cost rises from 0. The paper's: 4096."""

    @model_validator(mode="after")
    def _fits(self) -> OverlongConfig:
        if self.buffer > self.max_length:
            raise ValueError(f"`buffer` should be at most `max_length`, {self.max_length}")
        return self

    def cost(self, length: int) -> float:
        """Return what a completion of `length` tokens costs, 0 to 1."""
        over = length - (self.max_length - self.buffer)
        return min(1.0, max(0.0, over / self.buffer))
