"""Conversations that go on each at its own pace, on a sampler that is `continuous`.

The sampler has every request as soon as it can be asked: a conversation's next turn does not wait
for another conversation, nor the sampler for a grader. Which arrives first is chance, and changes
nothing: seeds go by draw, member and turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Any

from palestra.rollout.episode import Episode
from palestra.rollout.graders import Graders
from palestra.rollout.samplers.base import Completion, Sampler


def play_at_own_pace(
    episodes: Iterable[Episode],
    sampler: Sampler,
    graders: Graders,
    phase: Callable[[str], AbstractContextManager[None]],
    over: Callable[[Episode], Sequence[Episode]] = lambda episode: (),
) -> None:
    """Play `episodes` to their end; each is asked for as soon as it is there.

    Args:
        episodes: just reset.
        sampler: continuous.
        graders: where environments answer.
        phase: waiting is charged to ``generate`` while the sampler works, and else to ``grade``.
        over: is told of each that has ended, and returns those that need not go on.
    """
    arrived: SimpleQueue[Future[Any]] = SimpleQueue()
    asked: dict[Future[Completion], Episode] = {}
    graded: dict[Future[tuple[dict[str, Any], bool]], tuple[Episode, Completion]] = {}

    def ask(episode: Episode) -> None:
        future = sampler.submit(episode.request())
        asked[future] = episode
        future.add_done_callback(arrived.put)

    def grade(episode: Episode, completion: Completion) -> None:
        episode.take(completion)
        future = graders.submit(episode, episode.step)
        graded[future] = (episode, completion)
        future.add_done_callback(arrived.put)

    def drop(episodes: set[Episode]) -> None:
        for future in [f for f, e in asked.items() if e in episodes]:
            del asked[future]
            future.cancel()
        for future in [f for f, (e, _) in graded.items() if e in episodes]:
            del graded[future]
            future.cancel()

    try:
        for episode in episodes:
            ask(episode)
        while asked or graded:
            with phase("generate" if asked else "grade"):
                future = arrived.get()
            if future in asked:
                grade(asked.pop(future), future.result())
            elif future in graded:  # else it was dropped, and came too late to be cancelled
                episode, completion = graded.pop(future)
                episode.settle(completion, *future.result())
                if not episode.over:
                    ask(episode)
                elif not_wanted := over(episode):
                    drop(set(not_wanted))
    finally:
        for future in (*asked, *graded):
            future.cancel()
