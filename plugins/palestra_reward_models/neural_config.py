"""What ``type: neural`` is told; cheap to import, since recipes are validated through it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from palestra.config import ConfigModel
from palestra.rewards.seen import Sees


class NeuralConfig(ConfigModel):
    """Options of ``{type: neural}``: a sequence-classification model with one label."""

    from_model: str = Field(alias="from", min_length=1)
    """A stage of type ``reward_model``, a model folder, or a hub id."""

    sees: Sees | None = None
    """What the model sees of a completion, ``answer`` or ``completion``. Where absent as it was
    trained, where that is unknown all of it."""

    prompt: Literal["chat", "r1_zero", "raw", "conversation", "pair"] | None = None
    """How the text is put together. Where absent as a stage trained it; else ``conversation`` (the
    chat template writes the completion too), or ``pair`` where there is no template."""

    device: str | None = None
    """Where it computes, as torch writes it (``cpu``, ``cuda:1``); the GPU if there is one."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of its weights."""

    token_budget: int = Field(default=16384, ge=1)
    """Tokens, padding included, that it scores at once."""
