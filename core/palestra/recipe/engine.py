"""What a recipe says of the machine: its `engine` block."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from palestra.config import ConfigModel, PluginBlock
from palestra.learner.config import LoRAConfig


class SamplerConfig(PluginBlock):
    """The sampler, ``{type: transformers, max_batch: 512}``; options are its plugin's own."""

    type: str = "transformers"
    """Name of the sampler."""


class EngineConfig(ConfigModel):
    """How a run uses the machine."""

    sampler: SamplerConfig = Field(default_factory=SamplerConfig)
    """What generates completions."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the forward and backward passes."""

    token_budget: int = Field(default=8192, ge=1)
    """Tokens, padding included, in a micro-batch."""

    lora: LoRAConfig | None = None
    """Low-rank adapters that are trained instead of the weights; none where absent. The reference
    policy is the stage's first weights, without a copy of them."""

    gradient_checkpointing: bool = False
    """Whether a backward pass computes the layers' activations again instead of keeping them: less
    memory, about a third more time, and prompts are not run once a group."""

    liger: bool = False
    """Whether the policy's layers are computed by Liger's fused kernels, on a GPU; needs
    ``pip install 'palestra[liger]'``."""

    threads: int | None = Field(default=None, ge=1)
    """CPU threads; as many as there are cores where absent."""

    trackers: list[Literal["tensorboard", "wandb", "trackio", "mlflow"]] = Field(
        default_factory=list[Literal["tensorboard", "wandb", "trackio", "mlflow"]]
    )
    """Experiment trackers that are told of every step; none by default, and nothing is uploaded."""
