"""`verifiers/Env-v1`: environments of the verifiers library, graded by their own rewards."""

# pyright: reportUnknownParameterType=false
# A checkout need not have verifiers to be checked.

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from palestra.envs.env import MultiTurnEnv, Turn
from palestra.envs.score import Score
from palestra.envs.task import Task
from palestra.errors import ConfigError, did_you_mean
from palestra.splits import SPLITS, Split
from palestra_verifiers.seat import AnyTrace, Episode
from palestra_verifiers.source import load_source


class VerifiersEnv(MultiTurnEnv):
    """An installed environment of the verifiers library (its `verifiers.v1` interface).

    A plain taskset is single-turn. An environment whose `run` holds a conversation with its agent
    is multi-turn, and `run` says when it is over. The hash of the prompt decides a task's split,
    unless `split` says that all are of one.

    ``accuracy`` is upstream's reward, the weighted sum, on the scale from 0 to 1. Every reward and
    metric is a component under its own name, as upstream gave it.

    Upstream's graders see what a model server would send them: what follows ``</think>`` is the
    reply, and what stands before it the reasoning.

    Args:
        id: the package, as verifiers' own commands take it.
        limit: take at most so many tasks; needed where they never end.
        split: take every task for this split.
        reward_range: lowest and highest sum of upstream's rewards.
        max_turns: turns after which a conversation is truncated; it is graded all the same.
        config: options of the package (verifiers' ``--env.taskset.*``).

    Raises:
        ConfigError: no such package, or it needs what is not there: the text says what.
    """

    def __init__(
        self,
        id: str,
        limit: int | None = None,
        split: Split | None = None,
        reward_range: Sequence[float] = (0.0, 1.0),
        max_turns: int = 16,
        **config: object,
    ) -> None:
        super().__init__()
        if split is not None and split not in SPLITS:
            raise ConfigError(f"verifiers/Env-v1: no split '{split}'.{did_you_mean(split, SPLITS)}")
        if len(reward_range) != 2 or not reward_range[0] < reward_range[1]:
            raise ConfigError(
                f"verifiers/Env-v1: reward_range is lowest and highest, not {list(reward_range)}"
            )
        self._low, self._high = reward_range
        self._id = id
        self._source = load_source(id, limit, split, config)
        self.max_turns = 1 if self._source.is_single_turn else max_turns
        self._episode: Episode | None = None
        self._turns = 0

    def tasks(self, split: Split) -> Sequence[Task]:
        return self._source.tasks[split]

    def begin(self, task: Task) -> str:
        """Set upstream's environment going, up to where it wants the policy's first turn."""
        row = self._source.rows[cast("int", task.metadata["row"])]
        self._turns = 0
        self._episode = Episode(self._source.env, row, self._source.role)
        return task.messages[-1]["content"]

    def respond(self, task: Task, action: str) -> Turn:
        """Hand upstream's environment the policy's turn."""
        assert self._episode is not None
        self._turns += 1
        observation = self._episode.answer(action)
        cut = not self._episode.done and self._turns >= self.max_turns
        if cut:
            self._episode.answer(None)
        if not self._episode.done:
            return Turn(observation=observation)
        trace = self._episode.seat.trace
        self.close()
        assert trace is not None
        return Turn(score=self._score(trace), done=not cut)

    def close(self) -> None:
        """End the episode that is on its way."""
        if self._episode is not None:
            self._episode.close()
            self._episode = None

    def _score(self, trace: AnyTrace) -> Score:
        missing = [name for name, reward in trace.rewards.items() if reward is None]
        if missing or not trace.rewards:
            raise ValueError(f"upstream gave no reward {', '.join(missing) or 'at all'}")
        if not self._low - 1e-9 <= trace.reward <= self._high + 1e-9:
            raise ValueError(
                f"'{self._id}' paid {trace.reward:g}, outside [{self._low:g}, {self._high:g}]: "
                "give its own range as the argument reward_range"
            )
        value = (trace.reward - self._low) / (self._high - self._low)
        components = {name: value for name, value in trace.metrics.items() if value is not None}
        components |= {name: reward.score for name, reward in trace.rewards.items() if reward}
        return Score(
            value=value,
            components={"accuracy": value, **components},
            extracted=trace.last_reply[:200],
        )
