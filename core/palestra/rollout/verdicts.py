"""Verdicts that take more than one completion: graders of groups and batches, reward models."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from palestra.envs import Score
from palestra.envs.together import settled_together
from palestra.errors import GraderFailed
from palestra.grading.isolation import IsolatedEnv
from palestra.mixture.sources import Source
from palestra.rollout.episode import RETRIES, Episode
from palestra.rollout.graders import Graders


def settle(episodes: Sequence[Episode], sources: Sequence[Source], graders: Graders) -> None:
    """Have the graders that judge several completions at once see them, now that all are there."""
    running: list[tuple[Source, list[Episode], Callable[[], list[dict[str, Any]]]]] = []
    for source in sources:
        own = [e for e in episodes if e.source is source]
        envs, infos = [e.env for e in own], [e.last for e in own]
        for rows in settled_together(envs, infos, [e.draw.number for e in own]):
            part = [own[row] for row in rows]
            if isinstance(part[0].env, IsolatedEnv):
                answer = graders.submit(part[0], _settled, source, part).result
                running.append((source, part, answer))
            else:
                answered = _settled(source, part)
                running.append((source, part, lambda answered=answered: answered))
    for source, part, answer in running:
        for episode, info in zip(part, answer(), strict=True):
            if not info["reward_valid"] and source.config.on_grader_error == "raise":
                raise GraderFailed(f"{source.where}: {info['reason']}")
            episode.conclude(info)


def _settled(source: Source, part: Sequence[Episode]) -> list[dict[str, Any]]:
    """Return the verdicts on episodes that are judged together; failures are tried again."""
    started = time.monotonic()
    first, others = part[0].env, [e.env for e in part[1:]]
    infos = [info for _, info in first.settle(others)]
    for _ in range(RETRIES if source.config.on_grader_error == "retry" else 0):
        if all(info["reward_valid"] for info in infos):
            break
        infos = [info for _, info in first.settle(others)]
    for episode in part:
        episode.grade_seconds += (time.monotonic() - started) / len(part)
    return infos


def pay(episodes: Sequence[Episode], sources: Sequence[Source]) -> None:
    """Let each source's reward models judge all of its episodes in one batch, then pay."""
    for source in sources:
        own = [e for e in episodes if e.source is source]
        for episode, models in zip(own, _judged(own, source), strict=True):
            episode.pay(models)


def _judged(episodes: Sequence[Episode], source: Source) -> list[dict[str, Score]]:
    """Return what the reward models say; failures are retried or raised as the source says.

    A failure is tried again with its whole group: some models compare its members.
    """
    scores = source.rewards.model_scores([e.scored() for e in episodes])
    how = source.config.on_grader_error
    for _ in range(RETRIES if how == "retry" else 0):
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
