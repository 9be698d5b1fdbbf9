"""`Trajectory` and `Group`: what a rollout is made of, token for token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palestra.envs import Message, Status
from palestra.errors import EnvironmentFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One episode of one member of a group.

    Attributes:
        token_ids: (L,) prompt, policy and observation tokens as the sampler saw them.
        loss_mask: (L,) True on the policy's own tokens only.
        sampler_logprobs: (L,) log-probs of the policy's tokens, 0 elsewhere.
        versions: (L,) the weights' version that sampled each token.
        rewards: ``(token, value)`` pairs: each reward and the position of the token it falls on.
        components: the named scores of the episode, summed over its turns, unweighted.
        status: the worst status of its turns.
        stop_reason: ``stop``, or ``length`` where a turn was cut.
        text: the policy's turns as graders saw them, prefill included.
        actions: the same, turn by turn.
        grade_seconds: time that the environment took to answer.
    """

    env_id: str
    task_id: str
    prompt_hash: str
    messages: Sequence[Message]
    language: str | None
    difficulty: int | None
    token_ids: NDArray[np.int64]
    loss_mask: NDArray[np.bool_]
    sampler_logprobs: NDArray[np.float32]
    versions: NDArray[np.int32]
    rewards: tuple[tuple[int, float], ...]
    components: Mapping[str, float]
    status: Status
    reason: str
    extracted: str | None
    stop_reason: str
    text: str
    actions: tuple[str, ...] = ()
    turns: int = 1
    masked: bool = False
    grade_seconds: float = 0.0

    @property
    def reward(self) -> float:
        """The training reward: the sum of its turns'."""
        return float(sum(value for _, value in self.rewards))

    @property
    def length(self) -> int:
        """Tokens of the policy."""
        return int(self.loss_mask.sum())

    @property
    def is_valid(self) -> bool:
        """Whether it may enter the statistics of its group and the loss."""
        return self.status.is_valid and not self.masked


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The trajectories of one prompt.

    Attributes:
        source: index of the mixture's source.
        number: the draw's number within its step.
        members: all trajectories, the invalid ones included (they are recorded, not trained on).
        reference: the task's reference, kept for records, never shown to a policy.

    Raises:
        EnvironmentFailed: the members saw different prompts, so an environment drops its seed.
    """

    source: int
    number: int
    members: tuple[Trajectory, ...]
    reference: object = None

    def __post_init__(self) -> None:
        hashes = {m.prompt_hash for m in self.members}
        if len(hashes) > 1:
            raise EnvironmentFailed(
                f"{self.members[0].env_id}: the members of a group saw {len(hashes)} different "
                "prompts for one seed. Draw every choice of sample() from the rng it is given"
            )

    @property
    def valid(self) -> tuple[Trajectory, ...]:
        """The members that may be trained on."""
        return tuple(m for m in self.members if m.is_valid)

    @property
    def has_signal(self) -> bool:
        """Whether its valid members' rewards differ."""
        return len({m.reward for m in self.valid}) > 1
