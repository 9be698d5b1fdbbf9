"""The sampler contract: requests of token ids in, completions with log-probs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

StopReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How tokens are drawn.

    Attributes:
        temperature: divides the logits; 0 is greedy.
        max_tokens: tokens a turn may have, the stop token included.
        top_p: nucleus; 1 keeps the whole vocabulary (RL demands it).
        top_k: best tokens kept; 0 keeps all (RL demands it).
    """

    temperature: float = 1.0
    max_tokens: int = 128
    top_p: float = 1.0
    top_k: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One turn to sample.

    Attributes:
        token_ids: the whole prompt, prefill included.
        seed: decides the noise at every position: same seed, same draw, whatever the batch.
        params: how to draw.
        stop_token_ids: tokens that end the turn; the token itself is kept in the completion.
    """

    token_ids: tuple[int, ...]
    seed: int
    params: SamplingParams
    stop_token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A sampled turn.

    Attributes:
        index: which of the requests it answers.
        token_ids: (n,) the sampled tokens, the stop token last where there is one.
        logprobs: (n,) log-probs under softmax(logits / temperature) over the full vocabulary.
        stop_reason: ``stop``, or ``length`` where `max_tokens` cut it.
    """

    index: int
    token_ids: tuple[int, ...]
    logprobs: NDArray[np.float32]
    stop_reason: StopReason


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerContext:
    """What a sampler is made with, besides its options.

    A sampler's entry point, a class or a function, is called with it and with the options of the
    recipe's ``engine.sampler`` as keywords.

    Attributes:
        model: the policy, live: the learner changes its weights in place.
        copy: where the learner spreads the weights over processes, so that `model` cannot generate,
            makes a whole model as the stage began with, which `update_weights` is to keep up; None
            where `model` is whole.
        source: the folder or hub id that the policy was loaded from, tokenizer and all.
        precision: number format of the engine: ``fp32``, ``bf16`` or ``fp16``.
        scratch: a folder that is its own while it runs, not there yet; None for a temporary one.
        session: a word that all processes of this run share, and no other run has.
        rank: this process among those that train; 0 sends the weights.
        world: processes that train.
        wait: returns when every process has called it.
        note: says a line to whoever watches the run.
    """

    model: PreTrainedModel
    source: str
    copy: Callable[[], PreTrainedModel] | None = None
    precision: str = "fp32"
    scratch: Path | None = None
    session: str = ""
    rank: int = 0
    world: int = 1
    wait: Callable[[], None] = lambda: None
    note: Callable[[str], None] = lambda text: None


class Sampler(Protocol):
    """What the collector needs of an engine that generates. Derive from it for the defaults."""

    continuous: bool
    """Whether it has an engine and weights of its own, that work beside the trainer: `submit` may
    then be called at any time and from any thread, so conversations step independently."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield each completion as it finishes; closing the iterator aborts the rest.

        By default by `submit`, so that a sampler that is `continuous` need not define it.
        """
        return _answers(self.submit, requests)

    def submit(self, request: Request) -> Future[Completion]:
        """Ask for one turn, beside all that is asked already; only where it is `continuous`.

        Cancelling the future aborts the turn, and `close` cancels those that are open. The
        completion's `index` is 0.
        """
        raise TypeError(f"{type(self).__name__} is not continuous: it has `generate` alone")

    def update_weights(self, tensors: Iterator[tuple[str, Tensor]], version: int) -> None:
        """Take the policy's weights (Hugging Face names, full tensors) as `version`.

        Every process calls it and walks `tensors` in the same order. Nothing is generated
        meanwhile.
        """
        ...

    def sleep(self) -> None:
        """Give back what memory can be given back until the next call; by default nothing."""

    def close(self) -> None:
        """Free what the engine holds."""
        ...


def _answers(
    submit: Callable[[Request], Future[Completion]], requests: Sequence[Request]
) -> Iterator[Completion]:
    arrived: SimpleQueue[Future[Completion]] = SimpleQueue()
    asked: dict[Future[Completion], int] = {}
    try:
        for index, request in enumerate(requests):
            future = submit(request)
            asked[future] = index
            future.add_done_callback(arrived.put)
        while asked:
            future = arrived.get()
            yield replace(future.result(), index=asked.pop(future))
    finally:
        for future in asked:
            future.cancel()
