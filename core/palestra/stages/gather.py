"""Bringing the groups of all processes together, the same on each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palestra.rollout.collect import Gather
from palestra.rollout.trajectory import Group

if TYPE_CHECKING:
    from accelerate import Accelerator


def gather_groups(accelerator: Accelerator) -> Gather:
    """Return a function that gathers the groups of all processes in the order of their numbers."""
    if accelerator.num_processes == 1:
        return lambda groups: groups

    def gather(groups: list[Group]) -> list[Group]:
        from accelerate.utils import gather_object

        return sorted(gather_object(groups), key=lambda g: g.number)

    return gather
