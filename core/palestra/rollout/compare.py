"""What two records of rollouts earned on the same tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from palestra.envs import Status
from palestra.rollout.recorded import Row

Task = tuple[str, str]
"""Environment and task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPair:
    """A task that both records have, and the mean reward of its valid members in each."""

    env_id: str
    task_id: str
    before: float
    after: float

    @property
    def change(self) -> float:
        """How much more it earned in the second."""
        return self.after - self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two records.

    Attributes:
        tasks: those in both, the largest change first.
        only_before: how many tasks only the first has.
        only_after: how many only the second has.
        before: mean reward of all of the first's tasks; None where it has none with a verdict.
        after: the same of the second.
    """

    tasks: Sequence[TaskPair]
    only_before: int
    only_after: int
    before: float | None
    after: float | None

    @property
    def change(self) -> float | None:
        """Mean change over the tasks in both."""
        return _mean([pair.change for pair in self.tasks])


def compare(before: Iterable[Row], after: Iterable[Row]) -> Comparison:
    """Compare two records task by task; members without a verdict are left out."""
    first, second = _by_task(before), _by_task(after)
    pairs = [
        TaskPair(env_id=task[0], task_id=task[1], before=first[task], after=second[task])
        for task in first.keys() & second.keys()
    ]
    pairs.sort(key=lambda pair: (-abs(pair.change), pair.env_id, pair.task_id))
    return Comparison(
        tasks=pairs,
        only_before=len(first.keys() - second.keys()),
        only_after=len(second.keys() - first.keys()),
        before=_mean(list(first.values())),
        after=_mean(list(second.values())),
    )


def _by_task(rows: Iterable[Row]) -> dict[Task, float]:
    rewards: dict[Task, list[float]] = {}
    for row in rows:
        if Status(row["status"]).is_valid:
            rewards.setdefault((row["env_id"], row["task_id"]), []).append(row["reward"])
    return {task: sum(values) / len(values) for task, values in rewards.items()}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
