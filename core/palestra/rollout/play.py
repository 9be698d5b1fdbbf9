"""Playing the episodes of drawn prompts to their end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from palestra.grading.isolation import IsolatedEnv
from palestra.mixture.draw import Draw
from palestra.mixture.sources import Source
from palestra.rollout.collection import Collection
from palestra.rollout.episode import Episode
from palestra.rollout.graders import Graders
from palestra.rollout.pace import play_at_own_pace
from palestra.rollout.prompting import Prompter
from palestra.rollout.samplers.base import Completion, Sampler, SamplingParams
from palestra.rollout.trajectory import Group
from palestra.rollout.verdicts import pay, settle
from palestra.rollout.wanted import Wanted

Answer = Callable[[], tuple[dict[str, Any], bool]]


def roll_out_everywhere(
    draws: Sequence[Draw],
    sources: Sequence[Source],
    sampler: Sampler,
    prompter: Prompter,
    how: Collection,
    wanted: Wanted | None = None,
) -> list[Group]:
    """Roll out this process's share of `draws`, and return the groups of all processes.

    What one process raises, all raise: none of them waits for one that is gone.
    """
    mine = [draw for i, draw in enumerate(draws) if i % how.world == how.rank]
    rolled: list[Group] | Exception
    try:
        rolled = roll_out(mine, sources, sampler, prompter, how, wanted)
    except Exception as exc:
        rolled = exc
    return how.gather(rolled)


def roll_out(
    draws: Sequence[Draw],
    sources: Sequence[Source],
    sampler: Sampler,
    prompter: Prompter,
    how: Collection,
    wanted: Wanted | None = None,
) -> list[Group]:
    """Play all episodes of `draws` to their end, and return one group for each draw.

    Each completion is graded while the sampler goes on: in the worker processes, where its
    environment has some. On a sampler that is continuous each conversation goes on at its own pace,
    on another all of them in lock-step.

    Args:
        draws: the prompts.
        sources: of the mixture.
        sampler: answers them.
        prompter: turns messages into tokens.
        how: sizes, seeds and parameters.
        wanted: judges each group as it ends, and cuts those off that cannot be wanted any more;
            they are not returned. A sampler that is not continuous finishes all.
    """
    if wanted is not None and sampler.continuous:
        return _first_wanted(draws, sources, sampler, prompter, how, wanted)
    groups: dict[int, list[Episode]] = {}
    begun = _begun(draws, sources, prompter, how, groups)
    with Graders() as graders:
        if sampler.continuous:
            play_at_own_pace(begun, sampler, graders, how.phase)
        else:
            _play_in_lock_step(list(begun), sampler, graders)
        episodes = [episode for group in groups.values() for episode in group]
        settle(episodes, sources, graders)
    pay(episodes, sources)
    return [_group(group) for group in groups.values()]


def _first_wanted(
    draws: Sequence[Draw],
    sources: Sequence[Source],
    sampler: Sampler,
    prompter: Prompter,
    how: Collection,
    wanted: Wanted,
) -> list[Group]:
    """Settle and pay each group as soon as it has ended, and cut off what is not wanted then."""
    groups: dict[int, list[Episode]] = {}
    ended: dict[int, Group] = {}

    def over(episode: Episode) -> list[Episode]:
        number = episode.draw.number
        members = groups[number]
        if len(members) < how.size_for(episode.source) or not all(e.over for e in members):
            return []
        settle(members, sources, graders)
        pay(members, sources)
        ended[number] = _group(members)
        wanted.usable(ended[number])
        return [e for n, others in groups.items() if n > wanted.last for e in others]

    with Graders() as graders:
        begun = _begun(draws, sources, prompter, how, groups)
        play_at_own_pace(begun, sampler, graders, how.phase, over)
    return [ended[number] for number in sorted(ended) if number <= wanted.last]


def _begun(
    draws: Sequence[Draw],
    sources: Sequence[Source],
    prompter: Prompter,
    how: Collection,
    groups: dict[int, list[Episode]],
) -> Iterator[Episode]:
    """Yield each episode as soon as it is reset, and put it into its group, by number."""
    for draw in draws:
        source = sources[draw.source]
        members = groups[draw.number] = []
        for member in range(how.size_for(source)):
            members.append(Episode(draw, member, source, prompter, how))
            yield members[-1]


def _play_in_lock_step(episodes: list[Episode], sampler: Sampler, graders: Graders) -> None:
    """Play a turn of every conversation, then the next of those that are not over."""
    waiting = episodes
    while waiting:
        answers: list[tuple[Episode, Completion, Answer]] = []
        for alike in _by_params(waiting):
            for completion in sampler.generate([e.request() for e in alike]):
                episode = alike[completion.index]
                answers.append((episode, completion, _stepped(episode, completion, graders)))
        for episode, completion, answer in answers:
            episode.settle(completion, *answer())
        waiting = [e for e in waiting if not e.over]


def _stepped(episode: Episode, completion: Completion, graders: Graders) -> Answer:
    """Add the policy's turn, and have the environment answer: now, or in its worker."""
    episode.take(completion)
    if isinstance(episode.env, IsolatedEnv):
        return graders.submit(episode, episode.step).result
    answered = episode.step()
    return lambda: answered


def _by_params(episodes: Sequence[Episode]) -> list[list[Episode]]:
    """Part episodes by how their tokens are drawn: a sampler draws all of a call alike."""
    parts: dict[SamplingParams, list[Episode]] = {}
    for episode in episodes:
        parts.setdefault(episode.params, []).append(episode)
    return list(parts.values())


def _group(members: Sequence[Episode]) -> Group:
    draw = members[0].draw
    return Group(
        source=draw.source,
        number=draw.number,
        members=tuple(e.trajectory() for e in members),
        reference=members[0].task.reference,
    )
