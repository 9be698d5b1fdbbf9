"""Grading several completions at once: `grade_group` and `grade_batch` of `SingleTurnEnv`.

A pairwise judge needs all members of a group, a neural grader is cheaper by the batch. Where an
environment defines one of the two, `step` cannot know the score: it says ``pending``, and `settle`
gives the verdicts once all completions are there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from palestra.envs.score import Score, Status
from palestra.errors import GraderFailed, boundary

if TYPE_CHECKING:
    from palestra.envs.env import Info, TextEnv
    from palestra.envs.task import Task

Together = Literal["alone", "group", "batch"]
"""What a grader wants to see at once: one completion, a task's group, or any number of tasks."""


def pending() -> Score:
    """Return the score of a completion whose grader has yet to see the others."""
    return Score.failed("its grader judges several completions at once", Status.PENDING)


def as_score(result: object) -> Score:
    """Return what a grader returned as a `Score`; a number is the component ``accuracy``.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(result, Score):
        return result
    if not isinstance(result, int | float | np.number | np.bool_):
        raise TypeError(f"it returned {result!r}, and should return a Score or a number")
    return Score(value=float(result))


def graded(grade: Callable[[], Sequence[object]], tasks: Sequence[Task], what: str) -> list[Score]:
    """Return a score for each task, whatever `grade` does: what it raises fails all of them."""
    try:
        with boundary(GraderFailed, what):
            scores = [as_score(result) for result in grade()]
            if len(scores) != len(tasks):
                raise ValueError(f"it gave {len(scores)} scores for {len(tasks)} completions")
            if any(score.status is Status.PENDING for score in scores):
                raise ValueError("it gave a score that is pending still")
            return scores
    except GraderFailed as exc:
        late = isinstance(exc.__cause__, TimeoutError)
        failed = Score.failed(str(exc), Status.TIMEOUT if late else Status.ERROR)
        return [failed for _ in tasks]


def score_info(score: Score) -> Info:
    """Return what `info` says of a turn's score."""
    return {
        "reward_components": dict(score.components) if score.status.is_valid else {},
        "reward_steps": [[end, float(value)] for end, value in score.steps],
        "reward_status": str(score.status),
        "reward_valid": score.status.is_valid,
        "extracted_answer": score.extracted,
        "reason": score.reason,
    }


def is_pending(info: Info) -> bool:
    """Whether a step left its grading to `TextEnv.settle`."""
    return info.get("reward_status") == Status.PENDING


def settled_together(
    envs: Sequence[TextEnv], infos: Sequence[Info], groups: Sequence[object]
) -> list[list[int]]:
    """Return which pending gradings go into one `settle`: those of a group, or all there are.

    Args:
        envs: one for each episode, all of one id.
        infos: what the last step of each said.
        groups: what tells the groups apart, as a task's id.
    """
    parts: dict[object, list[int]] = {}
    for row, (env, info, group) in enumerate(zip(envs, infos, groups, strict=True)):
        if is_pending(info):
            parts.setdefault(group if env.together == "group" else None, []).append(row)
    return list(parts.values())


def step_alone(env: TextEnv | Any, action: str) -> tuple[str, float, bool, bool, Info]:
    """Step, and have a grader that judges several at once judge this completion alone."""
    observation, reward, terminated, truncated, info = env.step(action)
    if is_pending(info):
        ((reward, info),) = env.settle()
    return observation, reward, terminated, truncated, info
