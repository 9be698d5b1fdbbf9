"""The threads that environments answer in."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, TypeVar

from palestra.grading.isolation import IsolatedEnv
from palestra.grading.pool import WORKERS
from palestra.rollout.episode import Episode

P = ParamSpec("P")
T = TypeVar("T")


class Graders:
    """Threads for each source, so that a slow grader keeps no other source waiting.

    An environment with worker processes has a thread for each; one in this process has a single
    thread, so its code never runs twice at a time. What waits for a thread is never more than the
    episodes of the rollout.
    """

    def __init__(self) -> None:
        self._pools: dict[int, ThreadPoolExecutor] = {}

    def submit(
        self, episode: Episode, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Have a thread of the episode's source do `work`."""
        key = id(episode.source)
        if key not in self._pools:
            threads = WORKERS if isinstance(episode.env, IsolatedEnv) else 1
            self._pools[key] = ThreadPoolExecutor(threads, thread_name_prefix="grader")
        return self._pools[key].submit(work, *args, **kwargs)

    def __enter__(self) -> Graders:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pool in self._pools.values():
            pool.shutdown(cancel_futures=True)
