"""How groups are collected: their size, how their tokens are drawn, and by which processes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

from palestra.mixture.sources import Source
from palestra.rollout.samplers.base import SamplingParams
from palestra.rollout.trajectory import Group

Gather = Callable[[list[Group] | Exception], list[Group]]


def alone(groups: list[Group] | Exception) -> list[Group]:
    """Return the groups of the only process, or raise what it raised."""
    if isinstance(groups, Exception):
        raise groups
    return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """How groups are collected; a source may have a group size and parameters of its own.

    Attributes:
        params: how tokens are drawn.
        group_size: members of a group.
        min_group: valid members below which a group is dropped.
        noise: names of the sampling noise's stream, the run's seed first.
        version: of the weights that sample.
        rank: this process among `world`: it rolls out every `world`-th prompt.
        gather: brings the groups of all processes together, in the order of their numbers; given
            what a process raised, it raises on all of them.
        phase: charges what happens within to a phase of the step, ``generate`` or ``grade``.
    """

    params: SamplingParams
    group_size: int
    min_group: int = 1
    noise: tuple[int, *tuple[str | int, ...]] = (0,)
    version: int = 0
    rank: int = 0
    world: int = 1
    gather: Gather = field(default=alone)
    phase: Callable[[str], AbstractContextManager[None]] = field(default=lambda name: nullcontext())

    def size_for(self, source: Source) -> int:
        """Return how many members the groups of `source` have."""
        return source.config.group_size or self.group_size

    def params_for(self, source: Source) -> SamplingParams:
        """Return how tokens are drawn for `source`."""
        own = source.config.sampling.model_dump(exclude_none=True)
        if source.config.max_tokens is not None:
            own["max_tokens"] = source.config.max_tokens
        return replace(self.params, **own) if own else self.params
