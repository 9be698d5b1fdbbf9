"""`Evidence`: what the child drew and graded, as plain data that the checks judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from palestra.plugins.specs import EnvironmentSpec
from palestra.terminal import one_line

GRADING_LIMIT_S = 5.0
"""A step that takes longer is late; its process is killed."""

SMALL_SHARE = 0.05
"""What a probe may earn of the range before it counts as paid: rounding, not credit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One reset.

    Attributes:
        split: the split asked for.
        number: its seed, or its index where tasks are listed.
        prompt_hash: of the messages, by our own hash, whatever `info` says.
        task_id: as `info` gives it.
        told: the split that `info` gives.
    """

    split: str
    number: int
    prompt_hash: str
    task_id: str
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grading:
    """One completion, sent on every turn until the episode ended.

    Attributes:
        probe: what kind of completion it is, as ``guess`` or ``reference``.
        variant: which one of the kind.
        task: the number of the task.
        task_id: the task's id.
        prompt: the beginning of its prompt.
        completion: the beginning of the completion.
        rewards: of each turn.
        accuracy: the sum of the component ``accuracy``, 0 where there is none.
        statuses: the ``reward_status`` of each turn.
        reason: of the last turn whose status is not ok, else of the last.
        slowest_s: the longest step, in seconds.
        ended: ``terminated``, ``truncated``, ``both``, or "" where it never ended.
        appends: whether each turn's messages began with the ones before.
        raised: what `reset` or `step` raised, "" for nothing.
        stuck: why there is no answer: it was killed, or died.
    """

    probe: str
    variant: str
    task: int
    task_id: str = ""
    prompt: str = ""
    completion: str = ""
    rewards: tuple[float, ...] = ()
    accuracy: float = 0.0
    statuses: tuple[str, ...] = ()
    reason: str = ""
    slowest_s: float = 0.0
    ended: str = ""
    appends: bool = True
    raised: str = ""
    stuck: str = ""

    @property
    def total(self) -> float:
        """What the episode earned."""
        return sum(self.rewards)

    @property
    def failed(self) -> bool:
        """Whether it has no verdict."""
        return bool(self.raised or self.stuck or {*self.statuses} & {"error", "timeout"})

    @property
    def example(self) -> str:
        """Say what was sent and what it earned, for a person."""
        sent = one_line(f"'{self.completion}'")
        where = f"task {self.task_id or self.task} ('{self.prompt}')"
        earned = f" earned {self.total:g}" if self.rewards and not self.failed else ""
        return f"{sent} ({self.probe}: {self.variant}){earned} at {one_line(where)}"


@dataclass(kw_only=True)
class Evidence:
    """Everything that was gathered of one environment.

    Attributes:
        spec: what it declares.
        draws: its tasks, by split.
        gradings: its gradings.
        tried: of each check that was tried: "" or what is wrong.
        notes: of each check that was tried and kept, a note.
        leaks: for each task, the places of `info` that were looked at, and those that hold the
            reference.
        listed: the hashes of the prompts of each split whose tasks are listed.
        sizes: how many tasks each of those splits holds.
        without_tasks: of each split whose reset raised, what it raised.
        stopped: why the gathering ended before its end, "" where it did not.
    """

    spec: EnvironmentSpec
    draws: list[Draw] = field(default_factory=list[Draw])
    gradings: list[Grading] = field(default_factory=list[Grading])
    tried: dict[str, str] = field(default_factory=dict[str, str])
    notes: dict[str, str] = field(default_factory=dict[str, str])
    leaks: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    listed: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    without_tasks: dict[str, str] = field(default_factory=dict[str, str])
    stopped: str = ""

    def of(self, *probes: str) -> Iterator[Grading]:
        """Yield the gradings of these probes that came to a verdict."""
        return (g for g in self.gradings if g.probe in probes and not g.failed)

    @property
    def floor(self) -> float:
        """What a worthless completion may earn: 0, or the lowest of the range where 0 is not in it.

        A range that ends at 0 or below pays in penalties, so its lowest is the floor.
        """
        low, high = self.spec.reward_range
        return low if low > 0 or high <= 0 else 0.0

    def share(self, grading: Grading) -> float:
        """Return what a grading earned of the range, by its total or by its accuracy, 0 to 1."""
        high = self.spec.reward_range[1]
        share = (grading.total - self.floor) / (high - self.floor) if high > self.floor else 0.0
        return min(1.0, max(0.0, share, grading.accuracy))

    def paid(self, gradings: Iterable[Grading]) -> list[Grading]:
        """Return those that earned more than a small share."""
        return [g for g in gradings if self.share(g) > SMALL_SHARE]

    def add(self, kind: str, record: dict[str, Any]) -> None:
        """Take in a record of the child."""
        if kind == "draw":
            self.draws.append(Draw(**record))
        elif kind == "grade":
            self.gradings.append(Grading(**_tuples(record)))
        elif kind == "try":
            self.tried[record["check"]] = record["problem"]
            self.notes[record["check"]] = record["note"]
        elif kind == "leak":
            self.leaks.append(record)
        elif kind == "split":
            self.without_tasks[record["split"]] = record["problem"]
        elif kind == "list":
            self.listed[record["split"]] = record["hashes"]
            self.sizes[record["split"]] = record["size"]


def _tuples(record: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
