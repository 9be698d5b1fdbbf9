"""Log-probs of given tokens, without a tensor of logits over prompt and padding.

The backbone gives hidden states, the fused linear cross entropy turns those in front of a policy
token into log-probs. Models whose logits are more than ``hidden @ head`` (scaled, capped, biased)
are found out on the first batch and go through their own logits.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, linear_cross_entropy
from torch.nn.modules.linear_cross_entropy_options import LinearCrossEntropyOptions

from palestra.learner.prompts import can_share, hidden_behind_prompt, shares_rightly
from palestra.optimizers.batch import Batch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LOG = logging.getLogger("palestra")
_LOUD = 100.0  # largest logit that the head is tried with
_CACHED = 2**17  # weights of a head that stay in a core's cache, so that chunks may be small
_CHUNK = {"cpu": 2**22, "cuda": 2**26}  # logits at a time, for a head that does not
_ROWS = 64  # tokens at a time, at the least
_CLOSE = 1e-5  # how near hidden @ head must come to the model's own logits, as a share of that


class Policy(nn.Module):
    """Wraps a causal LM so that one `forward` gives the log-probs of a micro-batch's tokens.

    Data-parallel wrappers see this module's `forward`, so their hooks run.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self._fused: bool | None = None
        self._shares: bool | None = None if can_share(model.config) else False

    def forward(
        self,
        ids: Tensor,
        rows_T: Tensor,
        columns_T: Tensor,
        temperature: float,
        entropy: bool,
        prefix: int = 0,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return (T,) log-probs under softmax(logits / temperature), and their exact entropy.

        Args:
            ids: (B, L) right-padded: with causal attention, padding behind changes nothing before.
            rows_T: row of each policy token.
            columns_T: its column; the hidden state one to the left predicts it.
            temperature: divides the logits.
            entropy: whether to return (T,) entropies too.
            prefix: columns that are the same in all rows, and in front of every policy token: they
                are run once, where the model allows it.
            positions: (B, L) where a row holds several sequences, see `palestra.learner.packed`.
        """
        targets = ids[rows_T, columns_T]
        states_T, head = self.states(ids, rows_T, columns_T, prefix, positions)
        are_logits = isinstance(head, nn.Identity)
        exact = None
        if entropy or are_logits:
            all_T = (head(states_T).float() / temperature).log_softmax(-1)
            exact = -(all_T.exp() * all_T).sum(-1) if entropy else None
            if are_logits:
                return all_T.gather(-1, targets[:, None]).squeeze(-1), exact
        loss = linear_cross_entropy(
            states_T / temperature,
            cast("Tensor", head.weight),
            targets,
            reduction="none",
            options=_chunks(cast("Tensor", head.weight)),
        )
        return -loss, exact

    def states(
        self,
        ids: Tensor,
        rows_T: Tensor,
        columns_T: Tensor,
        prefix: int = 0,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, nn.Module]:
        """Return (T, H) the states that predict each token, and the head that makes logits of them.

        Where logits are more than ``hidden @ head``, the states are the logits themselves.
        """
        head = cast("nn.Linear | None", self.model.get_output_embeddings())
        if self._fused is None:
            self._fused = self._is_plain(ids, head)
        row = {"input_ids": ids, "use_cache": False}
        row |= {"position_ids": positions} if positions is not None else {}
        if self._fused and head is not None:
            backbone = self.model.base_model
            if prefix:
                return self._hidden(backbone, ids, rows_T, columns_T, prefix), head
            return backbone(**row).last_hidden_state[rows_T, columns_T - 1], head
        logits = self.model(**row).logits
        return logits[rows_T, columns_T - 1], nn.Identity()

    def _hidden(
        self, backbone: nn.Module, ids: Tensor, rows_T: Tensor, columns_T: Tensor, prefix: int
    ) -> Tensor:
        """Return (T, H) the states that predict each policy token, the prompt run once."""
        if self._shares is None:
            self._shares = shares_rightly(backbone, self.model.config, ids, prefix)
        if self._shares:
            hidden = hidden_behind_prompt(backbone, self.model.config, ids, prefix)
            return hidden[rows_T, columns_T - prefix]
        hidden = backbone(input_ids=ids, use_cache=False).last_hidden_state
        return hidden[rows_T, columns_T - 1]

    @torch.no_grad()
    def _is_plain(self, ids: Tensor, head: Any) -> bool:
        """Whether the logits are hidden @ head and nothing else, tried on a few tokens.

        The hidden states are scaled up on their way to the head: a cap that small logits do not
        feel on the first batch would be felt once training has made them larger.
        """
        backbone = self.model.base_model
        if head is None or getattr(head, "bias", None) is not None or backbone is self.model:
            return False
        seen: list[Tensor] = []

        def scale_up(module: nn.Module, args: Any, output: Any) -> Any:
            hidden = output.last_hidden_state
            if hidden.shape[-1] == head.weight.shape[-1]:
                largest = linear(hidden, head.weight).abs().max().clamp(min=1e-6)
                output.last_hidden_state = hidden * (_LOUD / largest)
                seen.append(output.last_hidden_state)
            return output

        hook = backbone.register_forward_hook(scale_up)
        try:
            own = self.model(input_ids=ids[:2, :32], use_cache=False).logits
        finally:
            hook.remove()
        plain = len(seen) == 1 and torch.allclose(
            linear(seen[0], head.weight).float(), own.float(), atol=_CLOSE * _LOUD, rtol=0
        )
        if not plain:
            _LOG.info("logits are not hidden @ head for this model: log-probs go through logits")
        return plain


def _chunks(head: Tensor) -> LinearCrossEntropyOptions:
    """Return how many tokens' logits are made at a time.

    Every chunk reads the whole head. torch's own choice keeps the logits as small as the hidden
    states, which for a large vocabulary is a handful of tokens: then reading is all that it does.
    """
    if head.numel() <= _CACHED:
        return LinearCrossEntropyOptions()
    logits = _CHUNK.get(head.device.type, _CHUNK["cuda"])
    return LinearCrossEntropyOptions(batch_chunk_size=max(_ROWS, logits // head.shape[0]))


def padded(batch: Batch, pad: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return a micro-batch as (B, L) ids and the (T,) rows and columns of its policy tokens."""
    width = max(len(ids) for ids in batch.token_ids)
    out = torch.full((len(batch), width), pad, dtype=torch.long)
    rows: list[Tensor] = []
    columns: list[Tensor] = []
    for row, (ids, mask) in enumerate(zip(batch.token_ids, batch.loss_mask, strict=True)):
        out[row, : len(ids)] = torch.from_numpy(ids)
        own = torch.from_numpy(mask).nonzero().squeeze(1)
        rows.append(torch.full_like(own, row))
        columns.append(own)
    return out.to(device), torch.cat(rows).to(device), torch.cat(columns).to(device)
