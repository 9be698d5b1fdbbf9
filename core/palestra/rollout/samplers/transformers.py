"""The embedded sampler: the trainer's own transformers model, batched, with a KV cache.

It reads the policy's live weights, so nothing is copied between training and sampling. Requests
that share a prompt (a group) share its prefill; rows that have ended leave the batch. The noise of
a request is a function of its seed and the position alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import pad
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from palestra.rollout.samplers.base import (
    Completion,
    Request,
    Sampler,
    SamplerContext,
    SamplingParams,
)

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

_SHRINK_BELOW = 0.8  # share of live rows under which the batch is compacted
_WIDE = 4096  # tokens of a vocabulary that is searched as a whole
_BLOCK = 256  # tokens of a block of a larger one
_GROWTH = 64  # positions by which a cache slab grows


def make_sampler(context: SamplerContext, max_batch: int = 512) -> TransformersSampler:
    """Return the embedded sampler on the policy's live weights, or on a copy of its own."""
    if context.copy is None:
        return TransformersSampler(context.model, max_batch)
    return TransformersSampler(context.copy(), max_batch, live=False)


class TransformersSampler(Sampler):
    """Samples from a `PreTrainedModel` in lock-step.

    Args:
        model: the policy; its weights are read at each call.
        max_batch: rows decoded together.
        live: whether they are the trainer's own, so that an update is there already.
    """

    continuous = False

    def __init__(self, model: PreTrainedModel, max_batch: int = 512, live: bool = True) -> None:
        self.model = model
        self.max_batch = max_batch
        self.live = live
        self.version = 0

    @torch.no_grad()
    def update_weights(self, tensors: Iterator[tuple[str, Tensor]], version: int) -> None:
        """Note the version; copy the weights, unless they are the trainer's own."""
        if not self.live:
            own = self.model.state_dict()
            for name, tensor in tensors:
                own[name].copy_(tensor)
        self.version = version

    def close(self) -> None:
        """Nothing is held."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield completions batch by batch.

        The make-up of a batch depends on the requests alone: those of one prompt stay together,
        prompts go in order of length.
        """
        order = sorted(range(len(requests)), key=lambda i: (len(requests[i].token_ids), i))
        training = self.model.training
        self.model.eval()
        try:
            for start in range(0, len(order), self.max_batch):
                yield from self._batch(requests, order[start : start + self.max_batch])
        finally:
            self.model.train(training)

    @torch.inference_mode()
    def _batch(self, requests: Sequence[Request], indices: list[int]) -> list[Completion]:
        rows = [requests[i] for i in indices]
        params = rows[0].params
        if any(r.params != params or r.stop_token_ids != rows[0].stop_token_ids for r in rows):
            raise ValueError("requests of one call share their sampling parameters")
        device = self.model.device
        stop = torch.tensor(rows[0].stop_token_ids, device=device)
        noise = torch.from_numpy(
            np.stack([np.random.default_rng(r.seed).random(params.max_tokens) for r in rows])
        ).to(device)
        logits, cache, mask = self._prefill([r.token_ids for r in rows], params.max_tokens)
        tokens = torch.zeros((len(rows), params.max_tokens), dtype=torch.long, device=device)
        logprobs = torch.zeros((len(rows), params.max_tokens), device=device)
        lengths = torch.full((len(rows),), params.max_tokens, device=device)
        live = torch.arange(len(rows), device=device)  # rows of `tokens` still in the batch
        running = torch.ones(len(rows), dtype=torch.bool, device=device)  # by row of the batch
        for position in range(params.max_tokens):
            drawn, logprob = draw(logits, noise[live, position], params)
            tokens[live, position] = torch.where(running, drawn, tokens[live, position])
            logprobs[live, position] = torch.where(running, logprob, logprobs[live, position])
            ended = running & torch.isin(drawn, stop)
            lengths[live[ended]] = position + 1
            running = running & ~ended
            count = int(running.sum())
            if count == 0 or position + 1 == params.max_tokens:
                break
            if count < _SHRINK_BELOW * len(live):
                kept = running.nonzero().squeeze(1)
                cache.batch_select_indices(kept)
                live, mask, drawn, running = live[kept], mask[kept], drawn[kept], running[kept]
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
            logits = self._forward(drawn[:, None], mask, cache)
        return _completions(indices, tokens, logprobs, lengths, stop)

    def _prefill(
        self, prompts: list[tuple[int, ...]], max_tokens: int
    ) -> tuple[Tensor, Cache, Tensor]:
        """Run each distinct prompt once, then spread logits and cache over its requests."""
        distinct = list(dict.fromkeys(prompts))
        width = max(map(len, distinct))
        ids = torch.zeros((len(distinct), width), dtype=torch.long)
        mask = torch.zeros((len(distinct), width), dtype=torch.long)
        for row, prompt in enumerate(distinct):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        ids, mask = ids.to(self.model.device), mask.to(self.model.device)
        cache = new_cache(self.model, width + max_tokens)
        logits = self._forward(ids, mask, cache)
        row_of = {prompt: row for row, prompt in enumerate(distinct)}
        spread = torch.tensor([row_of[p] for p in prompts], device=ids.device)
        cache.batch_select_indices(spread)
        return logits[spread], cache, mask[spread]

    def _forward(self, ids: Tensor, mask: Tensor, cache: Cache) -> Tensor:
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1].float()


def draw(logits: Tensor, noise: Tensor, params: SamplingParams) -> tuple[Tensor, Tensor]:
    """Draw one token a row by inverting the cumulative distribution at `noise`.

    Args:
        logits: (B, V).
        noise: (B,) uniform in [0, 1).
        params: temperature 0 takes the best token.

    Returns:
        (B,) tokens and (B,) log-probs under softmax(logits / temperature), before any truncation
        by `top_p` or `top_k`.
    """
    if params.temperature == 0:
        logprobs = logits.log_softmax(-1)
        drawn = logits.argmax(-1)
    else:
        logprobs = (logits / params.temperature).log_softmax(-1)
        drawn = _inverted(_truncate(logprobs, params), noise)
    return drawn, logprobs.gather(-1, drawn[:, None]).squeeze(-1)


def _inverted(logprobs: Tensor, noise: Tensor) -> Tensor:
    """Return the (B,) tokens whose share of the cumulative distribution `noise` falls into.

    A large vocabulary is searched in two steps, the block and the token in it, so that no (B, V)
    tensor of doubles is made.
    """
    if logprobs.shape[-1] <= _WIDE:
        return _fall(logprobs.double().exp().cumsum(-1), noise)
    chances = pad(logprobs.exp(), (0, -logprobs.shape[-1] % _BLOCK)).unflatten(-1, (-1, _BLOCK))
    ends = chances.sum(-1, dtype=torch.float64).cumsum(-1)
    block = _fall(ends, noise)[:, None]
    inside = chances.gather(1, block[..., None].expand(-1, 1, _BLOCK)).squeeze(1).double()
    before = (ends.gather(1, block) - inside.sum(-1, keepdim=True)).squeeze(1)
    left = (noise * ends[:, -1] - before).clamp(min=0) / inside.sum(-1)
    drawn = block.squeeze(1) * _BLOCK + _fall(inside.cumsum(-1), left)
    return drawn.clamp(max=logprobs.shape[-1] - 1)  # behind it is what fills the last block up


def _fall(cumulative: Tensor, noise: Tensor) -> Tensor:
    """Return where in (B, N) running sums `noise`, a share of the last one, falls.

    There a sum grows, so that nothing of no probability is drawn. Where the model gives no numbers
    it is the last place: the learner will say so.
    """
    most = cumulative[:, -1:]
    target = torch.minimum(noise[:, None] * most, most.nextafter(torch.zeros_like(most)))
    place = torch.searchsorted(cumulative, target, right=True).squeeze(1)
    return place.clamp(max=cumulative.shape[-1] - 1)


def _truncate(logprobs: Tensor, params: SamplingParams) -> Tensor:
    if params.top_k:
        floor = logprobs.topk(min(params.top_k, logprobs.shape[-1])).values[:, -1:]
        logprobs = logprobs.masked_fill(logprobs < floor, -torch.inf)
    if params.top_p < 1:
        ordered, index = logprobs.sort(descending=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()
        dropped = torch.zeros_like(logprobs, dtype=torch.bool)
        dropped.scatter_(-1, index, before >= params.top_p * ordered.exp().sum(-1, keepdim=True))
        logprobs = logprobs.masked_fill(dropped, -torch.inf)
    return logprobs


class _Slab(DynamicLayer):
    """A cache layer that writes in place into a buffer, instead of copying all of it each token."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        batch, heads, _, size = key_states.shape
        self._keys = key_states.new_empty(batch, heads, min(self.capacity, _GROWTH), size)
        self._values = torch.empty_like(self._keys)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[-2]
        if end > self._keys.shape[-2]:
            self._keys, self._values = self._grown(self._keys, end), self._grown(self._values, end)
        self._keys[:, :, self.length : end] = key_states
        self._values[:, :, self.length : end] = value_states
        self.length = end
        self.keys, self.values = self._keys[:, :, :end], self._values[:, :, :end]
        return self.keys, self.values

    def _grown(self, buffer: Tensor, end: int) -> Tensor:
        room = min(max(self.capacity, end), max(end, buffer.shape[-2] + _GROWTH))
        batch, heads, _, size = buffer.shape
        larger = buffer.new_empty(batch, heads, room, size)
        larger[:, :, : self.length] = buffer[:, :, : self.length]
        return larger

    def get_seq_length(self) -> int:
        return self.length

    def batch_select_indices(self, indices: Tensor) -> None:
        self._keys = self._selected(self._keys, indices)
        self._values = self._selected(self._values, indices)

    def _selected(self, buffer: Tensor, indices: Tensor) -> Tensor:
        chosen = buffer.new_empty(len(indices), *buffer.shape[1:])
        chosen[:, :, : self.length] = buffer[:, :, : self.length].index_select(0, indices)
        return chosen


def new_cache(model: PreTrainedModel, capacity: int) -> Cache:
    """Return an empty cache: slabs where all layers attend fully, else transformers' own choice."""
    config = model.config.get_text_config()
    types = getattr(config, "layer_types", None) or ["full_attention"]
    if set(types) == {"full_attention"} and not getattr(config, "sliding_window", None):
        return Cache(layers=[_Slab(capacity) for _ in range(config.num_hidden_layers)])
    return DynamicCache(config=config)


def _completions(
    indices: list[int], tokens: Tensor, logprobs: Tensor, lengths: Tensor, stop: Tensor
) -> list[Completion]:
    stopped = set(stop.tolist())
    all_tokens, all_logprobs = tokens.tolist(), logprobs.cpu().numpy().astype(np.float32)
    out: list[Completion] = []
    for row, (index, length) in enumerate(zip(indices, lengths.tolist(), strict=True)):
        ids = tuple(all_tokens[row][:length])
        out.append(
            Completion(
                index=index,
                token_ids=ids,
                logprobs=all_logprobs[row, :length].copy(),
                stop_reason="stop" if ids[-1] in stopped else "length",
            )
        )
    return out
