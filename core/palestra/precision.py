"""Number formats by the names that a recipe has for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Torch's names, and vLLM's."""


def dtype_of(precision: str) -> torch.dtype:
    """Return torch's type of ``fp32``, ``bf16`` or ``fp16``."""
    import torch

    return getattr(torch, DTYPES[precision])
