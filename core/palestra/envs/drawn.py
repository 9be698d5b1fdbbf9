"""The tasks that an environment drew last: a group, and every evaluation, resets to them again.

Only where a draw costs much, for nobody sees then that `sample` ignores its seed.
"""

from __future__ import annotations

from dataclasses import replace

from palestra.envs.task import Task

KEPT = 1024
"""Tasks that are kept: an evaluation's questions outlast the training steps up to the next one."""


class LastDrawn:
    """A few sampled tasks by what they were drawn for; shared by an environment and its copies."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[object, ...], Task] = {}

    def get(self, key: tuple[object, ...]) -> Task | None:
        """Return the task that was drawn for `key`, with metadata of its own, if it is kept."""
        task = self._tasks.pop(key, None)
        if task is None:
            return None
        self._tasks[key] = task  # asked for last, forgotten last
        return replace(task, metadata=dict(task.metadata))

    def keep(self, key: tuple[object, ...], task: Task) -> None:
        """Keep a task; where there are too many, forget the one not asked for the longest."""
        while len(self._tasks) >= KEPT:
            del self._tasks[next(iter(self._tasks))]
        self._tasks[key] = replace(task, metadata=dict(task.metadata))
