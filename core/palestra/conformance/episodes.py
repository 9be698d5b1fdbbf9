"""Playing episodes: what the child does to an environment, as plain data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from palestra.envs.together import step_alone
from palestra.splits import prompt_hash

SHOWN = 160
"""How many characters of a prompt or a completion an example shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How an episode began.

    Attributes:
        env: the environment.
        observation: the first.
        info: of the reset.
    """

    env: Any
    observation: str
    info: dict[str, Any]

    @property
    def task(self) -> Any:
        """The environment's task; None for an environment that has none to show."""
        return getattr(self.env, "task", None)

    @property
    def reference(self) -> str | None:
        """The task's reference as text."""
        reference = getattr(self.task, "reference", None)
        return None if reference is None else str(reference)

    @property
    def prompt(self) -> str:
        """All that the policy reads."""
        messages = self.info.get("messages")
        if not isinstance(messages, list) or not messages:
            return str(self.observation)
        said = [m.get("content", "") for m in cast("list[dict[str, Any]]", messages)]
        return "\n".join(map(str, said))

    @property
    def prompt_hash(self) -> str:
        """Of the prompt, normalised, whatever `info` says."""
        return prompt_hash(self.prompt)


def begin(env: Any, seed: int, **options: object) -> Start:
    """Reset, and keep what came."""
    observation, info = env.reset(seed=seed, options=dict(options) or None)
    return Start(env=env, observation=observation, info=dict(info))


Text = Callable[[Start], str | None]
Announce = Callable[[dict[str, str]], None]


def play(
    env: Any, seed: int, text: Text, max_turns: int, announce: Announce
) -> dict[str, Any] | None:
    """Send one text on every turn of an episode until it ends.

    Args:
        env: the environment.
        seed: decides the task.
        text: makes the completion of the episode's start; None for a task that has none.
        max_turns: one turn more is tried, then the episode counts as endless.
        announce: told what will be sent where, before it is: nothing may come back.

    Returns:
        The fields of a `Grading` but for the probe's name, or None where there is no text.
    """
    start = begin(env, seed)
    completion = text(start)
    if completion is None:
        return None
    about = {
        "task_id": str(start.info.get("task_id", "")),
        "prompt": start.prompt[:SHOWN],
        "completion": completion[:SHOWN],
    }
    announce(about)
    rewards: list[float] = []
    statuses: list[str] = []
    accuracy, slowest, ended, reason, appends = 0.0, 0.0, "", "", True
    messages: Any = start.info.get("messages")
    for _ in range(max_turns + 1):
        since = time.perf_counter()
        _, reward, terminated, truncated, info = step_alone(env, completion)
        slowest = max(slowest, time.perf_counter() - since)
        rewards.append(float(reward))
        statuses.append(str(info.get("reward_status", "ok")))
        accuracy += float((info.get("reward_components") or {}).get("accuracy", 0.0))
        if statuses[-1] not in ("ok", "unparsable") or not reason:
            reason = str(info.get("reason", ""))[:SHOWN]
        told: Any = info.get("messages")
        if isinstance(messages, list) and isinstance(told, list):
            appends = appends and told[: len(messages)] == messages
        messages = told
        if terminated or truncated:
            ended = "both" if terminated and truncated else "terminated"
            ended = "truncated" if truncated and not terminated else ended
            break
    return about | {
        "rewards": rewards,
        "accuracy": accuracy,
        "statuses": statuses,
        "reason": reason,
        "slowest_s": slowest,
        "ended": ended,
        "appends": appends,
    }


def leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each value that stands in nested data, as text, with its path; None says nothing."""
    if isinstance(value, Mapping):
        for key, inner in cast("Mapping[object, object]", value).items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(cast("list[object]", value)):
            yield from leaves(inner, f"{path}[{i}]")
    elif value is not None:
        yield path, str(value)
