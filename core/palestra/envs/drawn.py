"""The tasks that an environment drew last: a group resets to the same one again and again.

Only where a draw costs much, for nobody sees then that `sample` ignores its seed.
"""

from __future__ import annotations

from dataclasses import replace

from palestra.envs.task import Task

KEPT = 32
"""Tasks that are kept; a group's members reset one after the other."""


class LastDrawn:
    """A few sampled tasks by what they were drawn for; shared by an environment and its copies."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[object, ...], Task] = {}

    def get(self, key: tuple[object, ...]) -> Task | None:
        """Return the task that was drawn for `key`, with metadata of its own, if it is kept."""
        task = self._tasks.get(key)
        return None if task is None else replace(task, metadata=dict(task.metadata))

    def keep(self, key: tuple[object, ...], task: Task) -> None:
        """Keep a task, and forget the oldest where there are too many."""
        while len(self._tasks) >= KEPT:
            del self._tasks[next(iter(self._tasks))]
        self._tasks[key] = replace(task, metadata=dict(task.metadata))
