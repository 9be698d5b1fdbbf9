"""Samplers with a planted fault, as a plugin of a recipe: what the mismatch guard is there for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from palestra.plugins import SamplerSpec
from palestra.rollout.samplers.vllm import VLLMSampler


def palestra_samplers() -> list[SamplerSpec]:
    return [
        SamplerSpec(name="stale-head", entry_point="tests.vllm.faulty:StaleHead"),
        SamplerSpec(name="skips-a-sync", entry_point="tests.vllm.faulty:SkipsASync"),
    ]


class StaleHead(VLLMSampler):
    """Leaves ``lm_head`` out of every sync, as one does who trusts that it is tied."""

    def update_weights(self, tensors: Iterator[tuple[str, Any]], version: int) -> None:
        super().update_weights(((n, t) for n, t in tensors if n != "lm_head.weight"), version)


class SkipsASync(VLLMSampler):
    """Takes no weights when the first step ends."""

    def update_weights(self, tensors: Iterator[tuple[str, Any]], version: int) -> None:
        if version != 1:
            super().update_weights(tensors, version)
