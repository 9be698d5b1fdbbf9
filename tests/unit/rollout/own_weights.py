"""A real sampler that works beside the trainer: the embedded one, on a copy of the weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from palestra.rollout.samplers.base import Completion, Request, Sampler, SamplerContext
from palestra.rollout.samplers.transformers import TransformersSampler


class OwnWeights(Sampler):
    """Draws each turn by itself, in threads of its own: what it draws is no matter of timing."""

    continuous = True

    def __init__(self, context: SamplerContext, threads: int = 2) -> None:
        self.model = copy.deepcopy(context.model).eval()
        self.version = 0
        self._inner = TransformersSampler(self.model)
        self._threads = ThreadPoolExecutor(threads)

    def submit(self, request: Request) -> Future[Completion]:
        return self._threads.submit(self._answer, request)

    def _answer(self, request: Request) -> Completion:
        (completion,) = self._inner.generate([request])
        return replace(completion, index=0)

    def update_weights(self, tensors: Iterator[tuple[str, Any]], version: int) -> None:
        self.model.load_state_dict({name: tensor.clone() for name, tensor in tensors})
        self.version = version

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
