"""The critic: a language model's backbone, with one value where the words were."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from palestra.errors import ConfigError


class Critic(nn.Module):
    """A backbone and a linear head, which says 0 until it has learnt something.

    Args:
        backbone: maps token ids to hidden states; trained in place.
        width: of its hidden states.
    """

    def __init__(self, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, ids: Tensor) -> Tensor:
        """Return (B, L) values for (B, L) token ids."""
        hidden = self.backbone(input_ids=ids, use_cache=False).last_hidden_state
        return self.head(hidden).squeeze(-1)


def make_critic(policy: nn.Module, source: str) -> Critic:
    """Return a critic for `policy`.

    Args:
        policy: a causal LM of transformers.
        source: ``policy``, or the model folder or hub id whose backbone to take.

    Raises:
        ConfigError: no such model, or one that does not know all tokens of the policy.
    """
    if source == "policy":
        backbone: Any = copy.deepcopy(cast("Any", policy).base_model)
    else:
        backbone = _loaded(source)
    known, wanted = _vocabulary(backbone), _vocabulary(policy)
    if known < wanted:
        raise ConfigError(
            f"optimizer.critic.from: '{source}' knows {known:,} tokens, and the policy {wanted:,}: "
            "a critic reads what the policy writes, so take a model of the same tokenizer"
        )
    width = int(backbone.config.get_text_config().hidden_size)
    like = next(policy.parameters())
    return Critic(backbone, width).to(like.device, like.dtype).requires_grad_(True)


def _loaded(source: str) -> nn.Module:
    from transformers import AutoModel

    try:
        return AutoModel.from_pretrained(source, dtype=torch.float32)
    except Exception as exc:  # a damaged folder can fail in any of three libraries
        why = " ".join(str(exc).strip().partition("\n\n")[0].split())
        raise ConfigError(
            f"optimizer.critic.from: cannot load '{source}': neither `policy`, nor a model folder "
            f"here, nor one that the Hugging Face hub gives. {why}"
        ) from exc


def _vocabulary(model: nn.Module) -> int:
    return int(cast("Any", model).get_input_embeddings().weight.shape[0])
