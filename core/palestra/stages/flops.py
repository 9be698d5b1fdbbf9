"""Useful floating-point operations of a step, and the most that the machine can do.

Counted as in PaLM (arXiv 2204.02311, appendix B): what the model's mathematics asks for, and
nothing that is computed twice, so recomputation, padding and repeated prompts lower the
utilisation.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from palestra.optimizers.batch import Batch
from palestra.precision import dtype_of
from palestra.rollout.trajectory import Group

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

Sequence_ = tuple[int, "NDArray[np.bool_]"]
"""Number of the group, and the (L,) mask of the policy's tokens."""

_GPU_PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "T4": 65e12,
    "V100": 125e12,
    "MI300X": 1307e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
"""Dense 16-bit operations a second, from the makers' data sheets; the first name that fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What a token costs.

    Attributes:
        body: weights that every token is multiplied with: all matrices but embedding and head; of a
            mixture of experts those of the experts that a token goes to.
        head: weights of the output layer.
        layers: attention layers.
        width: heads x head size: the width of all queries of a layer.
    """

    body: float
    head: float
    layers: int
    width: int

    @classmethod
    def of(cls, model: PreTrainedModel) -> ModelShape:
        """Read it off a whole model, before anything shards it."""
        config: Any = model.config.get_text_config()
        head = cast("Any", model.get_output_embeddings())
        ends = {id(model.get_input_embeddings().weight), id(head.weight) if head is not None else 0}
        experts = _first(config, "num_local_experts", "num_experts", "n_routed_experts")
        chosen = _first(config, "num_experts_per_tok")
        share = chosen / experts if experts and chosen else 1.0
        body = sum(
            p.numel() * (share if ".experts." in name else 1.0)
            for name, p in model.named_parameters()
            if p.ndim > 1 and id(p) not in ends
        )
        heads = _first(config, "num_attention_heads")  # a state-space model has none
        size = _first(config, "head_dim") or (_first(config, "hidden_size") // max(1, heads))
        return cls(
            body=body,
            head=head.weight.numel() if head is not None else 0,
            layers=_first(config, "num_hidden_layers"),
            width=heads * size,
        )

    def forward(self, sequences: Iterable[Sequence_]) -> float:
        """Return the operations of one forward pass; a group's prompt counts once.

        Two for each weight and token, the head only for the policy's tokens; in each layer, four
        times the width for each earlier token that one attends to.
        """
        total = 0.0
        seen: set[int] = set()
        for group, mask in sequences:
            length, own = len(mask), int(mask.sum())
            start = int(mask.argmax()) if own else length
            if group not in seen:
                seen.add(group)
                start = 0
            attended = (length * (length + 1) - start * (start + 1)) / 2
            total += 2 * self.body * (length - start) + 2 * self.head * own
            total += 4 * self.layers * self.width * attended
        return total


def _first(config: object, *names: str) -> int:
    """Return the first of `names` that a model's config has as a number; 0 without any."""
    values = (getattr(config, name, None) for name in names)
    return next((value for value in values if isinstance(value, int) and value), 0)


def generated(groups: Sequence[Group]) -> list[Sequence_]:
    """Return what was sampled."""
    return [(group.number, member.loss_mask) for group in groups for member in group.members]


def trained(batch: Batch, *, skip_zero_advantage: bool = False) -> list[Sequence_]:
    """Return what a batch is trained on.

    Args:
        batch: of one step.
        skip_zero_advantage: whether sequences without advantage give no gradient.
    """
    rows: Sequence[int] = range(len(batch))
    if skip_zero_advantage and "advantages" in batch.fields:
        rows = sorted(set(batch.sequence_T[batch["advantages"] != 0].tolist()))
    groups = batch.group_S.tolist()
    return [(groups[row], batch.loss_mask[row]) for row in rows]


@functools.cache
def peak_flops(device: torch.device, precision: str) -> float:
    """Return the most operations a second that `device` can do at `precision`.

    A known GPU's from its maker's data sheet in 16 bits; else the rate of a large matrix product,
    measured once (a tenth of a second on a CPU).
    """
    import torch

    if device.type == "cuda" and precision != "fp32":
        name = torch.cuda.get_device_name(device)
        known = next((peak for part, peak in _GPU_PEAKS.items() if part in name), None)
        if known is not None:
            return known
    size = 8192 if device.type == "cuda" else 1024
    a = torch.ones(size, size, dtype=dtype_of(precision), device=device)
    best = min(_seconds_of_product(a) for _ in range(6))
    return 2 * size**3 / best


def _seconds_of_product(a: torch.Tensor) -> float:
    started = time.perf_counter()
    float((a @ a)[0, 0])  # a GPU is waited for
    return time.perf_counter() - started
