"""The mismatch guard: whether sampler and trainer still are the same policy.

Before a step's first update, the log-probs that the sampler gave its tokens should be the
trainer's own, up to rounding. What breaks that (a sync that was skipped, an ``lm_head`` left out of
it, another precision) raises no error of its own: training goes on, with tokens of another policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from palestra.errors import TrainingError
from palestra.optimizers.base import Loss, Outputs
from palestra.optimizers.batch import Batch
from palestra.rollout.samplers.base import Request, Sampler, SamplingParams

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel

TOKEN_LIMIT = 0.1
"""Nats above which a token counts for `sampler_gap_share`."""

LIMITS = {"fp32": 0.01, "bf16": 0.1, "fp16": 0.1}
"""Mean difference, in nats a token, above which a run stops, by the engine's precision."""

_PROBES, _PROBE_TOKENS = 4, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """How far the sampler's log-probs of a step's tokens are from the trainer's.

    Attributes:
        sampler_gap: mean of the absolute difference, in nats.
        sampler_gap_max: its maximum.
        sampler_kl: k3 estimate of KL(sampler, trainer): the mean of r - 1 - log r, where r is the
            trainer's probability over the sampler's (Schulman, "Approximating KL divergence").
        sampler_gap_share: share of tokens that differ by more than `TOKEN_LIMIT`.
    """

    sampler_gap: float = 0.0
    sampler_gap_max: float = 0.0
    sampler_kl: float = 0.0
    sampler_gap_share: float = 0.0

    def metrics(self) -> dict[str, float]:
        """Return the four numbers by their names."""
        return asdict(self)


class Watch:
    """Compares the trainer's log-probs of a step with the sampler's, before its first update.

    Where the rollout has ``old_logprobs`` of the trainer's it compares those; else it is the first
    update's loss, and compares, on the way, what that is given: no pass of its own is made.

    Args:
        loss: what a call returns the value of.
        rollout: the step's.
    """

    def __init__(self, loss: Callable[[Outputs, Batch], Loss], rollout: Batch) -> None:
        self._loss = loss
        old = rollout.fields.get("old_logprobs")
        self._seen = old is not None and old is not rollout.sampler_logprobs_T
        self._gaps = _Gaps()
        if old is not None and self._seen:
            self.add(old, rollout.sampler_logprobs_T)

    def __call__(self, now: Outputs, batch: Batch) -> Loss:
        """Return the loss of a micro-batch."""
        if not self._seen:
            self.add(now.logprobs.detach(), batch.sampler_logprobs_T)
        return self._loss(now, batch)

    def add(self, logprobs_T: Tensor, sampler_logprobs_T: Tensor) -> None:
        """Take in the trainer's and the sampler's log-probs of some tokens."""
        self._gaps.add(logprobs_T, sampler_logprobs_T)

    def result(self, accelerator: Accelerator) -> Mismatch:
        """Return the mismatch over the tokens of all processes; nothing for no tokens."""
        return self._gaps.result(accelerator)


class _Gaps:
    """Sums over tokens: count, absolute difference, k3, tokens over the limit; and the maximum."""

    def __init__(self) -> None:
        self._sums = np.zeros(4)
        self._max = 0.0

    def add(self, logprobs_T: Tensor, sampler_logprobs_T: Tensor) -> None:
        if not len(logprobs_T):
            return
        difference = logprobs_T.double() - sampler_logprobs_T.to(logprobs_T.device).double()
        gap = difference.abs()
        k3 = difference.clamp(max=50.0).exp() - difference - 1
        over = (gap > TOKEN_LIMIT).sum()
        self._sums += [len(gap), float(gap.sum()), float(k3.sum()), float(over)]
        self._max = max(self._max, float(gap.max()))

    def result(self, accelerator: Accelerator | None = None) -> Mismatch:
        sums, most = self._sums, self._max
        if accelerator is not None and accelerator.num_processes > 1:
            from accelerate.utils import gather_object

            parts = gather_object([(sums.tolist(), most)])
            sums = np.sum([part for part, _ in parts], axis=0)
            most = max(maximum for _, maximum in parts)
        tokens, gap, k3, over = sums.tolist()
        if not tokens:
            return Mismatch()
        return Mismatch(
            sampler_gap=gap / tokens,
            sampler_gap_max=most,
            sampler_kl=k3 / tokens,
            sampler_gap_share=over / tokens,
        )


class Probe:
    """A few tokens asked of a continuous sampler, to compare its weights with the trainer's.

    For a step whose rollout is older than its weights: that tells how far the policy has moved
    since, and no more whether the sampler has followed. The tokens are sampled beside the rollout
    that is being made.

    Args:
        sampler: holds the weights that the step begins with.
        rollout: for its prompts.
        temperature: of the stage.
    """

    def __init__(self, sampler: Sampler, rollout: Batch, temperature: float) -> None:
        self._temperature = temperature
        self._asked = [(r, sampler.submit(r)) for r in _requests(rollout, temperature)]

    def wait(self) -> None:
        """Return when all is sampled."""
        for _, future in self._asked:
            future.result()

    def result(self, model: PreTrainedModel) -> Mismatch:
        """Compare with `model`, the trainer's, not sharded, before its first update."""
        gaps = _Gaps()
        for request, future in self._asked:
            done = future.result()
            mine = _logprobs(model, request.token_ids, done.token_ids, self._temperature)
            gaps.add(mine, torch.from_numpy(done.logprobs))
        return gaps.result()


def require_same_policy(
    mismatch: Mismatch, limit: float, step: int, cause: Callable[[], str]
) -> None:
    """Stop where sampler and trainer are not the same policy any more.

    Args:
        mismatch: before the step's first update.
        limit: mean difference that is still rounding, in nats a token.
        step: its number.
        cause: looks for the likely cause.

    Raises:
        TrainingError: `limit` is passed, or a log-prob is not a number.
    """
    if mismatch.sampler_gap <= limit:
        return
    raise TrainingError(
        f"step {step}: sampler and trainer disagree by {mismatch.sampler_gap:.3g} nats a token "
        f"(at most {mismatch.sampler_gap_max:.3g}, {mismatch.sampler_gap_share:.0%} of the tokens "
        f"over {TOKEN_LIMIT}; the limit of the mean is {limit:g}, see mismatch_limit): {cause()}"
    )


def likely_cause(
    model: PreTrainedModel,
    sampler: Sampler,
    rollout: Batch,
    *,
    tensors: Callable[[], Iterator[tuple[str, Tensor]]],
    temperature: float,
    source: str,
    version: int,
) -> str:
    """Return what most likely made sampler and trainer differ, found by trying the mends.

    Samples a few of the rollout's prompts again, before and after the weights are sent once more,
    and compares them with what `model`, or parts of it as it was, makes of them.

    Args:
        model: the trainer's, not sharded.
        sampler: the one that differs.
        rollout: for its prompts.
        tensors: makes an iterator over the trainer's weights.
        temperature: of the stage.
        source: where the model was loaded from when the stage began.
        version: of the weights as they are.
    """
    sampler.update_weights(tensors(), version)
    probes = _probe(sampler, rollout, temperature)
    now = _gap(probes, model, temperature)
    small = LIMITS["fp32"]
    if now <= small:
        return (
            "it held older weights, for when they were sent again the difference was gone: "
            "a sync was skipped, or did not reach it"
        )
    if temperature != 1.0 and _gap(probes, model, 1.0) < now / 4:
        return "its log-probs are those of temperature 1, not of the stage's temperature"
    first = _load(source, model)
    if _gap(probes, first, temperature) < now / 4:
        return "it still holds the weights that the stage began with: no sync reaches it"
    if _gap(probes, model, temperature, head=first) < now / 4:
        return (
            "its lm_head is still that of the stage's beginning: the sync leaves it out "
            "(with tied embeddings it has to be sent under its own name too)"
        )
    if now <= LIMITS["bf16"]:
        return (
            "it computes in another precision than the trainer; compare engine.precision with the "
            "sampler's dtype"
        )
    return (
        "sending the weights again did not help: it serves another model, in another precision, "
        "or a part of the weights does not reach it"
    )


_Probe = tuple[tuple[int, ...], tuple[int, ...], "np.ndarray"]


def _probe(sampler: Sampler, rollout: Batch, temperature: float) -> list[_Probe]:
    requests = _requests(rollout, temperature)
    return [
        (requests[c.index].token_ids, c.token_ids, c.logprobs) for c in sampler.generate(requests)
    ]


def _requests(rollout: Batch, temperature: float) -> list[Request]:
    prompts: list[tuple[int, ...]] = []
    for ids, mask in zip(rollout.token_ids, rollout.loss_mask, strict=True):
        prompt = tuple(int(i) for i in ids[: int(mask.argmax())])
        if prompt not in prompts:
            prompts.append(prompt)
    params = SamplingParams(temperature=temperature, max_tokens=_PROBE_TOKENS)
    return [
        Request(token_ids=prompt, seed=number, params=params, stop_token_ids=())
        for number, prompt in enumerate(prompts[:_PROBES])
    ]


def _gap(
    probes: list[_Probe],
    model: PreTrainedModel,
    temperature: float,
    head: PreTrainedModel | None = None,
) -> float:
    """Return the mean difference of the probes' log-probs to those under `model`.

    Args:
        probes: prompts, completions and the sampler's log-probs.
        model: the trainer's, now or then.
        temperature: divides the logits.
        head: whose output layer to put on `model`.
    """
    gaps = _Gaps()
    for prompt, completion, logprobs in probes:
        mine = _logprobs(model, prompt, completion, temperature, head)
        gaps.add(mine, torch.from_numpy(logprobs))
    return gaps.result().sampler_gap


@torch.no_grad()
def _logprobs(
    model: PreTrainedModel,
    prompt: tuple[int, ...],
    completion: tuple[int, ...],
    temperature: float,
    head: PreTrainedModel | None = None,
) -> Tensor:
    """Return the log-probs of a completion's tokens, (n,)."""
    training = model.training
    model.eval()
    ids = torch.tensor([[*prompt, *completion]], device=model.device)
    out = model(input_ids=ids, output_hidden_states=head is not None)
    model.train(training)
    logits = out.logits
    if head is not None:
        weight = head.get_output_embeddings().weight  # pyright: ignore[reportOptionalMemberAccess]
        logits = out.hidden_states[-1] @ weight.to(out.hidden_states[-1].dtype).T
    every = (logits[0, len(prompt) - 1 : -1].float() / temperature).log_softmax(-1)
    return every.gather(-1, ids[0, len(prompt) :, None]).squeeze(-1)


def _load(source: str, model: PreTrainedModel) -> PreTrainedModel:
    first: PreTrainedModel = type(model).from_pretrained(source, dtype=model.dtype)
    return first.to(model.device)  # pyright: ignore[reportArgumentType]
