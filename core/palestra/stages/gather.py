"""Bringing the groups of all processes together, the same on each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palestra.errors import TrainingError
from palestra.rollout.collection import Gather, alone
from palestra.rollout.trajectory import Group

if TYPE_CHECKING:
    from accelerate import Accelerator


def gather_groups(accelerator: Accelerator) -> Gather:
    """Return a function that gathers the groups of all processes in the order of their numbers.

    A process that failed says so in its turn, so that no other waits for it: it raises its own
    error again, the others a `TrainingError` that names it.
    """
    if accelerator.num_processes == 1:
        return alone

    def gather(groups: list[Group] | Exception) -> list[Group]:
        from accelerate.utils import gather_object

        failed = isinstance(groups, Exception)
        said = f"{type(groups).__name__}: {groups}" if failed else ""
        parts: list[tuple[int, list[Group], str]] = gather_object(
            [(accelerator.process_index, [] if failed else groups, said)]
        )
        if failed:
            raise groups
        for rank, _, why in parts:
            if why:
                raise TrainingError(f"process {rank} failed while it rolled out: {why}")
        return sorted((g for _, own, _ in parts for g in own), key=lambda g: g.number)

    return gather
