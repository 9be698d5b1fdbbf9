"""Where the time of a step goes: phases that add up to the whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from palestra.rollout.samplers.base import Completion, Request, Sampler

if TYPE_CHECKING:
    from torch import Tensor

P = ParamSpec("P")
T = TypeVar("T")

PHASES = ("generate", "grade", "logprobs", "backward", "sync", "wait", "other")
"""Phases of a step, in the order they are shown."""


class StepClock:
    """Charges each moment to one phase: a phase within another stops the outer one's time.

    A phase has a span of its name in a torch profiler's trace. What other threads do beside the one
    that made the clock is charged to nothing: it is that one's time that adds up to the step.

    Args:
        now: seconds, from anywhere.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._thread = threading.get_ident()
        self._open: list[str] = []
        self._since = 0.0
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Generator[None]:
        """Charge what happens within to `phase`."""
        from torch.profiler import record_function

        if threading.get_ident() != self._thread:
            with record_function(f"palestra::{phase}"):
                yield
            return
        self._charge()
        self._open.append(phase)
        try:
            with record_function(f"palestra::{phase}"):
                yield
        finally:
            self._charge()
            self._open.pop()

    def _charge(self) -> None:
        now = self._now()
        if self._open:
            phase = self._open[-1]
            self._seconds[phase] = self._seconds.get(phase, 0.0) + now - self._since
        self._since = now

    def take(self) -> dict[str, float]:
        """Return ``seconds/PHASE`` since the last call, and begin anew."""
        self._charge()
        taken = {f"seconds/{name}": self._seconds[name] for name in PHASES if name in self._seconds}
        self._seconds = {}
        return taken

    def over(self, phase: str, items: Iterable[T]) -> Iterator[T]:
        """Yield `items`, charging the time they are waited for, and no other, to `phase`."""
        iterator = iter(items)
        try:
            while True:
                with self(phase):
                    try:
                        item = next(iterator)
                    except StopIteration:
                        return
                yield item
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:  # a sampler drops what it has not finished
                close()

    def timed(self, phase: str, function: Callable[P, T]) -> Callable[P, T]:
        """Return `function`, its time charged to `phase`."""

        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            with self(phase):
                return function(*args, **kwargs)

        return run


class TimedSampler:
    """A sampler whose time is charged to ``generate``.

    Attributes:
        untimed: the sampler itself.
    """

    def __init__(self, sampler: Sampler, clock: StepClock) -> None:
        self.untimed, self._clock = sampler, clock
        self.continuous = sampler.continuous

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """As the sampler does."""
        return self._clock.over("generate", self.untimed.generate(requests))

    def submit(self, request: Request) -> Future[Completion]:
        """As the sampler does; whoever waits for it charges the time."""
        return self.untimed.submit(request)

    def update_weights(self, tensors: Iterator[tuple[str, Tensor]], version: int) -> None:
        """As the sampler does; its caller charges it to ``sync``."""
        self.untimed.update_weights(tensors, version)

    def sleep(self) -> None:
        """As the sampler does."""
        self.untimed.sleep()

    def close(self) -> None:
        """As the sampler does."""
        self.untimed.close()
