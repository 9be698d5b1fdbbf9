"""One member's conversation, from its first prompt to its trajectory."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from palestra.envs import Message, Score, Status, TextEnv
from palestra.envs.together import is_pending
from palestra.errors import GraderFailed
from palestra.mixture.draw import Draw
from palestra.mixture.sources import Source
from palestra.rewards.base import Scored
from palestra.rollout.collection import Collection
from palestra.rollout.prompting import Prompter
from palestra.rollout.samplers.base import Completion, Request
from palestra.rollout.trajectory import Trajectory
from palestra.seeding import derive_seed

RETRIES = 2
"""Times that a grading is tried again where its source says ``on_grader_error: retry``."""


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


class Episode:
    """One member's conversation while it runs.

    Args:
        draw: its prompt.
        member: its number in the group.
        source: where the prompt comes from.
        prompter: turns messages into tokens.
        how: sizes, seeds and parameters.
    """

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
        """Return what to ask the sampler for the next turn."""
        turn = len(self.actions)
        return Request(
            token_ids=tuple(self.ids),
            seed=derive_seed(*self.how.noise, self.draw.number, self.member, turn),
            params=self.params,
            stop_token_ids=self.prompter.stop_token_ids,
        )

    def take(self, completion: Completion) -> None:
        """Add the policy's turn."""
        self.ids += completion.token_ids
        self.mask += [True] * len(completion.token_ids)
        self.logprobs += completion.logprobs.tolist()
        if completion.stop_reason == "length":
            self.stop_reason = "length"
        self.actions.append(self.prompter.action(completion.token_ids))

    def step(self) -> tuple[dict[str, Any], bool]:
        """Have the environment answer the last turn: its info, and whether the episode is over."""
        started = time.monotonic()
        try:
            return self._answer(self.actions[-1])
        finally:
            self.grade_seconds += time.monotonic() - started

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

    def _answer(self, action: str) -> tuple[dict[str, Any], bool]:
        _, _, terminated, truncated, info = self.env.step(action)
        settled = info["reward_valid"] or is_pending(info)
        if settled or self.source.config.on_grader_error == "mask":
            return info, terminated or truncated
        if self.source.config.on_grader_error == "retry":
            for _ in range(RETRIES):
                self.env, _, info, over = _replay(self.source, self.draw, self.actions)
                if info["reward_valid"]:
                    return info, over
            return info, True
        raise GraderFailed(f"{self.source.where}: {info['reason']}")

    def scored(self) -> Scored:
        """Return what reward models see of it."""
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
        """Return the episode as it is trained on and recorded."""
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
