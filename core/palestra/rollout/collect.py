"""From draws to groups: reset, sample, step until every episode has ended, then pay."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np

from palestra.envs import Message, Score, Status, TextEnv
from palestra.envs.together import is_pending, settled_together
from palestra.errors import GraderFailed, TrainingError
from palestra.grading.isolation import IsolatedEnv
from palestra.grading.pool import WORKERS
from palestra.mixture.curriculum import Outcome
from palestra.mixture.draw import Draw, Mixture
from palestra.mixture.sources import Source
from palestra.rewards.base import Scored
from palestra.rollout.prompting import Prompter
from palestra.rollout.samplers.base import Completion, Request, Sampler, SamplingParams
from palestra.rollout.trajectory import Group, Trajectory
from palestra.seeding import derive_seed

_RETRIES = 2

Gather = Callable[[list[Group] | Exception], list[Group]]
Answer = Callable[[], tuple[dict[str, Any], bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """How groups are collected; a source may have a group size and parameters of its own.

    Attributes:
        params: how tokens are drawn.
        group_size: members of a group.
        min_group: valid members below which a group is dropped.
        noise: names of the sampling noise's stream, the run's seed first.
        version: of the weights that sample.
        rank: this process among `world`: it rolls out every `world`-th prompt.
        gather: brings the groups of all processes together, in the order of their numbers; given
            what a process raised, it raises on all of them.
    """

    params: SamplingParams
    group_size: int
    min_group: int = 1
    noise: tuple[int, *tuple[str | int, ...]] = (0,)
    version: int = 0
    rank: int = 0
    world: int = 1
    gather: Gather = field(default=lambda groups: alone(groups))

    def size_for(self, source: Source) -> int:
        """Return how many members the groups of `source` have."""
        return source.config.group_size or self.group_size

    def params_for(self, source: Source) -> SamplingParams:
        """Return how tokens are drawn for `source`."""
        own = source.config.sampling.model_dump(exclude_none=True)
        if source.config.max_tokens is not None:
            own["max_tokens"] = source.config.max_tokens
        return replace(self.params, **own) if own else self.params


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The groups to train on, and those that were rolled out but not kept."""

    kept: list[Group]
    dropped: list[Group]

    def outcomes(self) -> list[Outcome]:
        """Return what became of each prompt, in the order of their numbers."""
        trained = {group.number for group in self.kept}
        everyone = sorted([*self.kept, *self.dropped], key=lambda group: group.number)
        return [outcome(group, kept=group.number in trained) for group in everyone]


def collect(
    mixture: Mixture,
    sampler: Sampler,
    prompter: Prompter,
    how: Collection,
    *,
    prompts: int,
    keep: Callable[[Group], bool] = lambda group: True,
    max_refills: int = 0,
) -> Collected:
    """Roll out `prompts` groups, drawing on while `keep` refuses some, at most `max_refills` times.

    Raises:
        TrainingError: no group at all could be kept.
    """
    kept: list[Group] = []
    dropped: list[Group] = []
    missing: list[int] = []  # sources of the groups that a refill makes up for
    for _ in range(1 + max_refills):
        draws = mixture.draw(prompts - len(kept), replacing=missing)
        groups = roll_out_everywhere(draws, mixture.sources, sampler, prompter, how)
        refused: list[Group] = []
        for group in sorted(groups, key=lambda g: g.number):
            usable = len(group.valid) >= how.min_group
            (kept if usable and keep(group) else refused).append(group)
        dropped += refused
        missing = [group.source for group in refused]
        if len(kept) == prompts:
            break
    if not kept:
        raise TrainingError(_why_nothing(dropped, how.min_group))
    return Collected(kept=kept, dropped=dropped)


def alone(groups: list[Group] | Exception) -> list[Group]:
    """Return the groups of the only process, or raise what it raised."""
    if isinstance(groups, Exception):
        raise groups
    return groups


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
            _Episode(draw, member, sources[draw.source], prompter, how)
            for member in range(how.size_for(sources[draw.source]))
        ]
        for draw in draws
    ]
    episodes = [episode for group in groups for episode in group]
    waiting = [e for e in episodes if not e.over]
    with ThreadPoolExecutor(WORKERS) as graders:
        while waiting:
            answers: list[tuple[_Episode, Completion, Answer]] = []
            for alike in _by_params(waiting):
                for completion in sampler.generate([e.request() for e in alike]):
                    episode = alike[completion.index]
                    answers.append((episode, completion, episode.take(completion, graders)))
            for episode, completion, answer in answers:
                episode.settle(completion, *answer())
            waiting = [e for e in waiting if not e.over]
        _settle(episodes, sources, graders)
    _pay(episodes, sources)
    return [_group(draw, group) for draw, group in zip(draws, groups, strict=True)]


def _settle(
    episodes: Sequence[_Episode], sources: Sequence[Source], graders: ThreadPoolExecutor
) -> None:
    """Have the graders that judge several completions at once see them, now that all are there."""
    running: list[tuple[Source, list[_Episode], Callable[[], list[dict[str, Any]]]]] = []
    for source in sources:
        own = [e for e in episodes if e.source is source]
        envs, infos = [e.env for e in own], [e.last for e in own]
        for rows in settled_together(envs, infos, [e.draw.number for e in own]):
            part = [own[row] for row in rows]
            if isinstance(part[0].env, IsolatedEnv):
                running.append((source, part, graders.submit(_settled, source, part).result))
            else:
                answered = _settled(source, part)
                running.append((source, part, lambda answered=answered: answered))
    for source, part, answer in running:
        for episode, info in zip(part, answer(), strict=True):
            if not info["reward_valid"] and source.config.on_grader_error == "raise":
                raise GraderFailed(f"{source.where}: {info['reason']}")
            episode.conclude(info)


def _settled(source: Source, part: Sequence[_Episode]) -> list[dict[str, Any]]:
    """Return the verdicts on episodes that are judged together; failures are tried again."""
    started = time.monotonic()
    first, others = part[0].env, [e.env for e in part[1:]]
    infos = [info for _, info in first.settle(others)]
    for _ in range(_RETRIES if source.config.on_grader_error == "retry" else 0):
        if all(info["reward_valid"] for info in infos):
            break
        infos = [info for _, info in first.settle(others)]
    for episode in part:
        episode.grade_seconds += (time.monotonic() - started) / len(part)
    return infos


def _by_params(episodes: Sequence[_Episode]) -> list[list[_Episode]]:
    """Part episodes by how their tokens are drawn: a sampler draws all of a call alike."""
    parts: dict[SamplingParams, list[_Episode]] = {}
    for episode in episodes:
        parts.setdefault(episode.params, []).append(episode)
    return list(parts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """What came of one turn: its first and last token, its scores, and its process rewards."""

    first: int
    last: int
    components: dict[str, float]
    steps: list[tuple[int, float]]  # (char_end, value)
    status: Status


def _steps(info: Mapping[str, Any]) -> list[tuple[int, float]]:
    return [(int(end), float(value)) for end, value in info.get("reward_steps", ())]


class _Episode:
    """One member's conversation while it runs."""

    def __init__(
        self, draw: Draw, member: int, source: Source, prompter: Prompter, how: Collection
    ) -> None:
        self.draw, self.member, self.source = draw, member, source
        self.prompter, self.how = prompter, how
        self.params = how.params_for(source)
        self.env = source.env()
        _, self.info = self.env.reset(
            seed=draw.env_seed, options={**source.options, **draw.options}
        )
        self.task = cast("Any", self.env.task)
        self.opening = cast("list[Message]", self.info["messages"])
        self.tools = self.task.tools
        self.ids = list(prompter.open(self.opening, self.tools))
        self.mask = [False] * len(self.ids)
        self.logprobs = [0.0] * len(self.ids)
        self.actions: list[str] = []
        self.turns: list[_Turn] = []
        self.reason, self.extracted, self.stop_reason = "", None, "stop"
        self.rewards: list[tuple[int, float]] = []
        self.components: dict[str, float] = {}
        self.status = Status.OK
        self.grade_seconds = 0.0
        self.over = False
        self.last: dict[str, Any] = self.info

    def request(self) -> Request:
        turn = len(self.actions)
        return Request(
            token_ids=tuple(self.ids),
            seed=derive_seed(*self.how.noise, self.draw.number, self.member, turn),
            params=self.params,
            stop_token_ids=self.prompter.stop_token_ids,
        )

    def take(self, completion: Completion, graders: ThreadPoolExecutor) -> Answer:
        """Add the policy's turn, and have the environment answer: now, or in its worker."""
        self.ids += completion.token_ids
        self.mask += [True] * len(completion.token_ids)
        self.logprobs += completion.logprobs.tolist()
        if completion.stop_reason == "length":
            self.stop_reason = "length"
        self.actions.append(self.prompter.action(completion.token_ids))
        if isinstance(self.env, IsolatedEnv):
            return graders.submit(self._step, self.actions[-1]).result
        answered = self._step(self.actions[-1])
        return lambda: answered

    def settle(self, completion: Completion, info: dict[str, Any], done: bool) -> None:
        """Take in the environment's answer."""
        self.last = info
        status = Status(info["reward_status"])
        self.turns.append(
            _Turn(
                first=len(self.ids) - len(completion.token_ids),
                last=len(self.ids) - 1,
                components=dict(info["reward_components"]),
                steps=_steps(info),
                status=status,
            )
        )
        self.reason, self.extracted = info["reason"], info["extracted_answer"]
        self.over = done or not status.is_valid
        if not self.over:
            ended = completion.stop_reason == "stop"
            more = self.prompter.extend(info["messages"], self.tools, ended=ended)
            self.ids += more
            self.mask += [False] * len(more)
            self.logprobs += [0.0] * len(more)

    def conclude(self, info: dict[str, Any]) -> None:
        """Take in the verdict that the last turn was left without."""
        self.turns[-1] = replace(
            self.turns[-1],
            components=dict(info["reward_components"]),
            steps=_steps(info),
            status=Status(info["reward_status"]),
        )
        self.last, self.reason = info, info["reason"]
        self.extracted = info["extracted_answer"]

    def _step(self, action: str) -> tuple[dict[str, Any], bool]:
        started = time.monotonic()
        try:
            return self._answer(action)
        finally:
            self.grade_seconds += time.monotonic() - started

    def _answer(self, action: str) -> tuple[dict[str, Any], bool]:
        _, _, terminated, truncated, info = self.env.step(action)
        settled = info["reward_valid"] or is_pending(info)
        if settled or self.source.config.on_grader_error == "mask":
            return info, terminated or truncated
        if self.source.config.on_grader_error == "retry":
            for _ in range(_RETRIES):
                self.env, _, info, over = _replay(self.source, self.draw, self.actions)
                if info["reward_valid"]:
                    return info, over
            return info, True
        raise GraderFailed(f"{self.source.where}: {info['reason']}")

    def scored(self) -> Scored:
        return Scored(
            messages=self.opening,
            completion=self.actions[-1],
            language=self.info["language"],
            env_id=self.source.config.env,
            task_id=self.info["task_id"],
            group=self.draw.number,
            tokens=sum(self.mask),
            truncated=self.stop_reason == "length",
            extracted=self.extracted,
            reference=self.task.reference,
        )

    def pay(self, models: dict[str, Score]) -> None:
        """Put each turn's reward on its last token, and those of its steps where they end.

        Reward models judge the last turn.
        """
        last = len(self.turns) - 1
        for number, turn in enumerate(self.turns):
            components, status = turn.components, turn.status
            if not status.is_valid or self.status is Status.OK:
                self.status = status
            if not status.is_valid:  # no verdict: nothing to add up, and no training on it
                continue
            for name, value in components.items():
                self.components[name] = self.components.get(name, 0.0) + value
            judged = models if number == last else None
            steps, rest = self.source.rewards.split(components, turn.steps, judged, self.components)
            said = self.ids[turn.first : turn.last + 1]
            for end, value in steps:
                self.rewards.append((turn.first + self.prompter.token_at(said, end), value))
            if rest is not None:
                self.rewards.append((turn.last, rest))
        for name, score in models.items():
            self.components[name.removeprefix("model.")] = score.paid
            if not score.status.is_valid:
                self.status, self.reason = score.status, score.reason

    def trajectory(self) -> Trajectory:
        on_length = self.source.config.on_length
        cut = self.stop_reason == "length"
        if cut and on_length == "zero":
            self.rewards = [(token, 0.0) for token, _ in self.rewards]
        return Trajectory(
            env_id=self.source.config.env,
            task_id=self.info["task_id"],
            prompt_hash=self.info["prompt_hash"],
            messages=self.opening,
            language=self.info["language"],
            difficulty=self.info["difficulty"],
            token_ids=np.array(self.ids, dtype=np.int64),
            loss_mask=np.array(self.mask, dtype=np.bool_),
            sampler_logprobs=np.array(self.logprobs, dtype=np.float32),
            versions=np.where(self.mask, self.how.version, -1).astype(np.int32),
            rewards=tuple(self.rewards),
            components=self.components,
            status=self.status,
            reason=self.reason,
            extracted=self.extracted,
            stop_reason=self.stop_reason,
            text="\n".join(self.actions),
            actions=tuple(self.actions),
            turns=len(self.actions),
            masked=cut and on_length == "mask",
            grade_seconds=self.grade_seconds,
        )


def _replay(
    source: Source, draw: Draw, actions: Sequence[str]
) -> tuple[TextEnv, str, dict[str, Any], bool]:
    """Play a deterministic episode again, up to and with the last action."""
    env = source.env()
    observation, info = env.reset(seed=draw.env_seed, options={**source.options, **draw.options})
    over = False
    for action in actions:
        observation, _, terminated, truncated, info = env.step(action)
        over = terminated or truncated
    return env, observation, info, over


def _pay(episodes: Sequence[_Episode], sources: Sequence[Source]) -> None:
    """Let each source's reward models judge all of its episodes in one batch, then pay."""
    for source in sources:
        own = [e for e in episodes if e.source is source]
        for episode, models in zip(own, _judged(own, source), strict=True):
            episode.pay(models)


def _judged(episodes: Sequence[_Episode], source: Source) -> list[dict[str, Score]]:
    """Return what the reward models say; failures are retried or raised as the source says.

    A failure is tried again with its whole group: some models compare its members.
    """
    scores = source.rewards.model_scores([e.scored() for e in episodes])
    how = source.config.on_grader_error
    for _ in range(_RETRIES if how == "retry" else 0):
        failed = {i for i, row in enumerate(scores) if _failure(row) is not None}
        if not failed:
            break
        groups = {episodes[i].draw.number for i in failed}
        members = [i for i, e in enumerate(episodes) if e.draw.number in groups]
        again = source.rewards.model_scores([episodes[i].scored() for i in members])
        for i, row in zip(members, again, strict=True):
            scores[i] = row if i in failed else scores[i]
    failure = next((f for row in scores if (f := _failure(row)) is not None), None)
    if how == "raise" and failure is not None:
        raise GraderFailed(f"{source.where}: {failure.reason}")
    return scores


def _failure(row: Mapping[str, Score]) -> Score | None:
    return next((score for score in row.values() if not score.status.is_valid), None)


def outcome(group: Group, *, kept: bool) -> Outcome:
    """Return what became of a group's prompt, as a mixture and its curriculum see it."""
    failed = [m for m in group.members if not m.status.is_valid]
    first = group.members[0]
    return Outcome(
        source=group.source,
        number=group.number,
        task_id=first.task_id,
        difficulty=first.difficulty,
        kept=kept,
        rewards=tuple(m.reward for m in group.valid),
        components=tuple(m.components for m in group.valid),
        failed=len(failed),
        reason=failed[0].reason if failed else "",
    )


def _group(draw: Draw, episodes: Sequence[_Episode]) -> Group:
    return Group(
        source=draw.source,
        number=draw.number,
        members=tuple(e.trajectory() for e in episodes),
        reference=episodes[0].task.reference,
    )


def _why_nothing(dropped: Sequence[Group], min_group: int) -> str:
    invalid = [m for g in dropped for m in g.members if not m.is_valid]
    statuses = sorted({str(m.status) for m in invalid}) or ["none"]
    reason = next((m.reason for m in invalid if m.reason), "every group was refused")
    kind: Literal["graders failed", "the optimizer kept none"] = (
        "graders failed" if invalid else "the optimizer kept none"
    )
    return (
        f"no group of this step can be trained on ({kind}): {len(dropped)} groups dropped, "
        f"at least {min_group} valid members wanted; statuses: {', '.join(statuses)}; {reason}"
    )
