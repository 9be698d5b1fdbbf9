"""The prompt of a group, run once: its keys and values serve all completions of the group.

A group's sequences begin with the same tokens. Where that saves more than a second call of the
backbone costs, a micro-batch holds one group, its prompt goes through the backbone as one row, and
the completions attend to its keys and values; the gradient flows back through them, so it is that
of the whole sequences.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from palestra.learner.packing import micro_batches

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from palestra.optimizers.batch import Batch

_LOG = logging.getLogger("palestra")

PAYS = {"cpu": 2e9, "cuda": 2e12}
"""Operations that a second call of the backbone has to save, by device: what starting it costs."""

_CLOSE = 1e-4  # how near the hidden states must come to those of whole sequences, as a share


class SharedPrompts:
    """Says which sequences share their prompt, and whether that pays.

    Args:
        least: tokens that sharing has to save; none are shared where it is infinite.
    """

    def __init__(self, least: float) -> None:
        self._least = least

    @classmethod
    def where_it_pays(cls, parameters: int, device: str) -> SharedPrompts:
        """Return one for a model's size: a token costs six operations a parameter in training.

        Args:
            parameters: of the model.
            device: type of the device, ``cpu`` or ``cuda``.
        """
        return cls(PAYS.get(device, PAYS["cuda"]) / (6 * max(1, parameters)))

    def micro_batches(
        self, batch: Batch, rows: Sequence[int], token_budget: int
    ) -> list[list[int]]:
        """Deal `rows` to micro-batches within the budget: of one prompt each where that pays."""
        bundles: dict[bytes, list[int]] = {}
        for row in rows:
            prompt = batch.token_ids[row][: prompt_length(batch, row)]
            bundles.setdefault(prompt.tobytes(), []).append(row)
        shared: list[list[int]] = []
        rest: list[int] = []
        for bundle in bundles.values():
            for part in _within(batch, bundle, token_budget):
                pays = self._saved(batch, part) >= self._least
                shared.append(part) if pays else rest.extend(part)
        rest.sort()
        lengths = [len(batch.token_ids[row]) for row in rest]
        return shared + [[rest[i] for i in micro] for micro in micro_batches(lengths, token_budget)]

    def prefix(self, batch: Batch) -> int:
        """Return how many tokens of a micro-batch are to be run once; 0 where it does not pay."""
        first = batch.token_ids[0][: prompt_length(batch, 0)]
        for row in range(1, len(batch)):
            own = batch.token_ids[row][: prompt_length(batch, row)]
            if len(own) != len(first) or (own != first).any():
                return 0
        everything = list(range(len(batch)))
        return len(first) if self._saved(batch, everything) >= self._least else 0

    def _saved(self, batch: Batch, rows: Sequence[int]) -> int:
        return prompt_length(batch, rows[0]) * (len(rows) - 1)


def prompt_length(batch: Batch, row: int) -> int:
    """Return the number of tokens in front of the policy's first one."""
    return int(batch.loss_mask[row].argmax())


def _within(batch: Batch, rows: Sequence[int], token_budget: int) -> list[list[int]]:
    """Cut sequences of one prompt into parts that fit the budget, the prompt counted once."""
    prompt = prompt_length(batch, rows[0])
    ordered = sorted(rows, key=lambda row: (-len(batch.token_ids[row]), row))
    parts: list[list[int]] = []
    for row in ordered:
        longest = len(batch.token_ids[parts[-1][0]]) - prompt if parts else 0
        if parts and prompt + longest * (len(parts[-1]) + 1) <= token_budget:
            parts[-1].append(row)
        else:
            parts.append([row])
    return parts


def can_share(config: PreTrainedConfig) -> bool:
    """Whether all layers attend to everything before: others keep another kind of cache."""
    text = config.get_text_config()
    types = set(getattr(text, "layer_types", None) or ["full_attention"])
    return types == {"full_attention"} and not getattr(text, "sliding_window", None)


def hidden_behind_prompt(backbone: nn.Module, config: Any, ids: Tensor, prefix: int) -> Tensor:
    """Return hidden states from the prompt's last token on, its tokens run once.

    Args:
        backbone: the model without its head.
        config: of the model.
        ids: (B, L) whole sequences, right-padded, the first `prefix` columns all alike.
        prefix: tokens of the prompt.

    Returns:
        (B, L - prefix + 1, H); the first is of the prompt's last token.
    """
    cache = DynamicCache(config=config)
    prompt = backbone(input_ids=ids[:1, :prefix], past_key_values=cache, use_cache=True)
    last = prompt.last_hidden_state[:, -1:].expand(len(ids), -1, -1)
    cache.batch_repeat_interleave(len(ids))
    rest = backbone(input_ids=ids[:, prefix:], past_key_values=cache, use_cache=True)
    return torch.cat([last, rest.last_hidden_state], dim=1)


@torch.no_grad()
def shares_rightly(backbone: nn.Module, config: Any, ids: Tensor, prefix: int) -> bool:
    """Whether a model's hidden states are the same both ways, tried on two sequences."""
    some = ids[:2]
    try:
        split = hidden_behind_prompt(backbone, config, some, prefix)
    except (TypeError, ValueError, AttributeError, RuntimeError, NotImplementedError) as exc:
        _LOG.info("this model's prompts are not shared in training: %s", exc)
        return False
    whole = backbone(input_ids=some, use_cache=False).last_hidden_state[:, prefix - 1 :]
    far = (split - whole).abs().max() / whole.abs().max().clamp(min=1e-6)
    if far > _CLOSE * (100 if whole.dtype != torch.float32 else 1):
        _LOG.info("this model's prompts are not shared in training: states differ by %.1e", far)
        return False
    return True
