"""Playing the episodes of drawn prompts to their end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from palestra.grading.isolation import IsolatedEnv
from palestra.grading.pool import WORKERS
from palestra.mixture.draw import Draw
from palestra.mixture.sources import Source
from palestra.rollout.collection import Collection
from palestra.rollout.episode import Episode
from palestra.rollout.prompting import Prompter
from palestra.rollout.samplers.base import Completion, Sampler, SamplingParams
from palestra.rollout.trajectory import Group
from palestra.rollout.verdicts import pay, settle

Answer = Callable[[], tuple[dict[str, Any], bool]]


def roll_out_everywhere(
    draws: Sequence[Draw],
    sources: Sequence[Source],
    sampler: Sampler,
    prompter: Prompter,
    how: Collection,
) -> list[Group]:
    """Roll out this process's share of `draws`, and return the groups of all processes.

    What one process raises, all raise: none of them waits for one that is gone.
    """
    mine = [draw for i, draw in enumerate(draws) if i % how.world == how.rank]
    rolled: list[Group] | Exception
    try:
        rolled = roll_out(mine, sources, sampler, prompter, how)
    except Exception as exc:
        rolled = exc
    return how.gather(rolled)


def roll_out(
    draws: Sequence[Draw],
    sources: Sequence[Source],
    sampler: Sampler,
    prompter: Prompter,
    how: Collection,
) -> list[Group]:
    """Play all episodes of `draws` to their end, and return one group for each draw.

    Each completion is graded as it arrives: in the worker processes, where its environment has
    some, while the sampler goes on. Conversations go on in lock-step.
    """
    groups = [
        [
            Episode(draw, member, sources[draw.source], prompter, how)
            for member in range(how.size_for(sources[draw.source]))
        ]
        for draw in draws
    ]
    episodes = [episode for group in groups for episode in group]
    waiting = [e for e in episodes if not e.over]
    with ThreadPoolExecutor(WORKERS) as graders:
        while waiting:
            answers: list[tuple[Episode, Completion, Answer]] = []
            for alike in _by_params(waiting):
                for completion in sampler.generate([e.request() for e in alike]):
                    episode = alike[completion.index]
                    answers.append((episode, completion, _stepped(episode, completion, graders)))
            for episode, completion, answer in answers:
                episode.settle(completion, *answer())
            waiting = [e for e in waiting if not e.over]
        settle(episodes, sources, graders)
    pay(episodes, sources)
    return [_group(draw, group) for draw, group in zip(draws, groups, strict=True)]


def _stepped(episode: Episode, completion: Completion, graders: ThreadPoolExecutor) -> Answer:
    """Add the policy's turn, and have the environment answer: now, or in its worker."""
    episode.take(completion)
    if isinstance(episode.env, IsolatedEnv):
        return graders.submit(episode.step).result
    answered = episode.step()
    return lambda: answered


def _by_params(episodes: Sequence[Episode]) -> list[list[Episode]]:
    """Part episodes by how their tokens are drawn: a sampler draws all of a call alike."""
    parts: dict[SamplingParams, list[Episode]] = {}
    for episode in episodes:
        parts.setdefault(episode.params, []).append(episode)
    return list(parts.values())


def _group(draw: Draw, episodes: Sequence[Episode]) -> Group:
    return Group(
        source=draw.source,
        number=draw.number,
        members=tuple(e.trajectory() for e in episodes),
        reference=episodes[0].task.reference,
    )
