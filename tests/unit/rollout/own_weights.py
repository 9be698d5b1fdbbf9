"""A real sampler that works beside the trainer: the embedded one, on a copy of the weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from palestra.plugins.specs import SamplerSpec
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


class OneByOne(OwnWeights):
    """Draws one turn after another."""

    def __init__(self, context: SamplerContext) -> None:
        super().__init__(context, threads=1)


class Forgetful(OwnWeights):
    """Does not take the weights of version 2 when they are sent for the first time."""

    def __init__(self, context: SamplerContext, threads: int = 2) -> None:
        super().__init__(context, threads)
        self.asked: list[int] = []

    def update_weights(self, tensors: Iterator[tuple[str, Any]], version: int) -> None:
        self.asked.append(version)
        if self.asked != [0, 1, 2]:
            super().update_weights(tensors, version)


class Alone(OwnWeights):
    """Generates batches, and nothing beside the trainer."""

    continuous = False


def palestra_samplers() -> list[SamplerSpec]:
    kinds = (OwnWeights, OneByOne, Forgetful, Alone)
    return [
        SamplerSpec(name=k.__name__.lower(), entry_point=f"{__name__}:{k.__name__}") for k in kinds
    ]
