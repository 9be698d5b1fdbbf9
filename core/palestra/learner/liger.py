"""Liger kernels (arXiv 2410.10989): a layer's norms, rotary embedding and MLP, each in one kernel.

The loss is left out: log-probs are fused already (`palestra.learner.logprobs`), for any model.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from palestra.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def use_liger(model: PreTrainedModel) -> None:
    """Have `model` compute its layers by Liger's kernels; weights and their names stay.

    Rotary embeddings are replaced in the model's module of transformers, so for every model of its
    class in this process.

    Raises:
        ConfigError: there is no GPU, liger-kernel is not installed, or knows no such models.
    """
    # Triton runs kernels on a CPU where it is told to interpret them, slowly: to be tested.
    if model.device.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ConfigError("engine.liger: Liger's kernels need a GPU, and this run has none")
    try:
        from liger_kernel.transformers.monkey_patch import (  # pyright: ignore[reportMissingImports]
            MODEL_TYPE_TO_APPLY_LIGER_FN,
        )
    except ModuleNotFoundError as exc:
        line = "engine.liger needs liger-kernel. Run: pip install 'palestra[liger]'"
        raise ConfigError(line) from exc
    from transformers.integrations.liger import apply_liger_kernel

    kind = model.config.model_type
    if kind not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        known = ", ".join(sorted(MODEL_TYPE_TO_APPLY_LIGER_FN))
        raise ConfigError(f"engine.liger: Liger has no kernels for models of type {kind}: {known}")
    apply_liger_kernel(model, {"cross_entropy": False, "fused_linear_cross_entropy": False})
