"""What is trained, and how: a stage's `optim`, `engine.lora`, and distillation's `logits`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from palestra.config import ConfigModel


class OptimConfig(ConfigModel):
    """The torch optimizer and its schedule."""

    type: Literal["adamw"] = "adamw"
    """The torch optimizer."""

    learning_rate: float = Field(gt=0.0, le=10.0)
    """Peak learning rate."""

    betas: Annotated[
        tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]],
        Field(strict=False),
    ] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""

    eps: float = Field(default=1e-8, gt=0.0)
    """Added to the denominator."""

    weight_decay: float = Field(default=0.0, ge=0.0)
    """Decoupled weight decay per update, times the learning rate."""

    max_grad_norm: float = Field(default=1.0, gt=0.0)
    """L2 norm that the gradient is clipped to."""

    warmup_steps: int = Field(default=0, ge=0)
    """Updates over which the learning rate rises linearly from 0."""

    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rate falls after the warm-up, to the end of the stage."""

    min_lr_ratio: float = Field(default=0.0, ge=0.0, le=1.0)
    """Where the schedule ends, as a share of `learning_rate`."""


class LoRAConfig(ConfigModel):
    """Low-rank adapters; needs ``pip install 'palestra[lora]'``."""

    rank: int = Field(default=16, ge=1)
    """Rank of each adapter."""

    alpha: float = Field(default=32.0, gt=0.0)
    """Adapters are scaled by ``alpha / rank``."""

    target_modules: list[str] | None = None
    """Ends of the names of the linear layers to adapt, such as ``q_proj``; where absent, every one
    but the head."""


class LogitsConfig(ConfigModel):
    """Distillation of logits: forward KL to the teacher over completion tokens."""

    temperature: float = Field(default=1.0, gt=0.0)
    """Divides both models' logits; the loss is multiplied by its square."""
