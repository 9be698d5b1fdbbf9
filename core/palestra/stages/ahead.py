"""Collecting for the steps of a stage: within the step, or ahead of it beside the trainer.

With a staleness of k, the rollout of step m is made with the weights after step m - 1 - k, the
first ones with those that the stage begins with. It begins when step m - k does, and is over before
the next weights are sent: which weights drew a token is a matter of numbers, never of time. Between
two steps nothing is collected, so evaluations and checkpoints find all at rest.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from palestra.mixture.draw import Mixture
from palestra.rollout.collect import Collected
from palestra.rollout.saved import group_data, group_from
from palestra.stages.clock import StepClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What was collected for one step.

    Attributes:
        collected: its groups.
        moved: metrics of the mixture, as the prompts were drawn.
        seconds: where the time went that it took beside the trainer; nothing for one within a step.
    """

    collected: Collected
    moved: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict[str, float])


Collect = Callable[[int, StepClock], Rollout]


class Ahead:
    """The rollouts of a stage, in order; part of its checkpoints, those that wait included.

    Args:
        mixture: what `collect` draws from.
        collect: makes the next rollout with the weights of a version, and charges its time.
        clock: the step's.
        steps: of the stage: no rollout is made past the last.
        staleness: versions that a rollout may lag behind.
    """

    def __init__(
        self, mixture: Mixture, collect: Collect, clock: StepClock, *, steps: int, staleness: int
    ) -> None:
        self._mixture, self._collect, self._clock = mixture, collect, clock
        self._steps, self._staleness = steps, staleness
        self._last = 0  # step of the newest rollout that was begun
        self._made: dict[int, Future[Rollout]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")

    def take(self, step: int) -> Rollout:
        """Return the rollout of `step`, and have those begun that its weights are for.

        The sampler holds the weights after the step before.
        """
        if not self._staleness:
            return self._collect(step - 1, self._clock)
        for number in range(self._last + 1, min(step + self._staleness, self._steps) + 1):
            self._made[number] = self._thread.submit(self._beside, step - 1)
            self._last = number
        with self._clock("wait"):
            return self._made.pop(step).result()

    def rest(self) -> None:
        """Wait until nothing is being collected; what went wrong is raised."""
        for rollout in self._made.values():
            with self._clock("wait"):
                rollout.result()

    def close(self) -> None:
        """Begin nothing more; the sampler is closed already, which ends what is begun."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _beside(self, version: int) -> Rollout:
        clock = StepClock()  # of this thread
        rollout = self._collect(version, clock)
        took = clock.take()
        own = {f"seconds_ahead/{p}": took.get(f"seconds/{p}", 0.0) for p in ("generate", "grade")}
        return Rollout(collected=rollout.collected, moved=rollout.moved, seconds=own)

    def state_dict(self) -> dict[str, Any]:
        """Return the mixture's state, and the rollouts that wait for their step."""
        state = self._mixture.state_dict()
        if self._staleness:
            state["ahead"] = [_data(step, made.result()) for step, made in self._made.items()]
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self._mixture.load_state_dict(state)
        self._made = {}
        for data in state.get("ahead", ()):
            made: Future[Rollout] = Future()
            made.set_result(_rollout(data))
            self._last = int(data["step"])
            self._made[self._last] = made


def _data(step: int, rollout: Rollout) -> dict[str, Any]:
    return {
        "step": step,
        "kept": [group_data(group) for group in rollout.collected.kept],
        "dropped": [group_data(group) for group in rollout.collected.dropped],
        "moved": rollout.moved,
        "seconds": rollout.seconds,
    }


def _rollout(data: dict[str, Any]) -> Rollout:
    collected = Collected(
        kept=[group_from(group) for group in data["kept"]],
        dropped=[group_from(group) for group in data["dropped"]],
    )
    return Rollout(collected=collected, moved=data["moved"], seconds=data["seconds"])
