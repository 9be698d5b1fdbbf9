"""A worker: the process in which an environment that is not ours resets, steps and grades.

In go a seed, options and actions; out comes plain data. It holds any number of episodes at once,
each an environment of its own.
"""

from __future__ import annotations

import contextlib
import copy
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from palestra import errors
from palestra.errors import ConfigError, EnvironmentFailed, PalestraError
from palestra.grading.channel import Channel, ChannelClosed
from palestra.plugins.registry import get_registry

if TYPE_CHECKING:
    from palestra.envs.env import TextEnv
    from palestra.envs.task import Task


def serve(channel: Channel, env_id: str, kwargs: dict[str, Any]) -> None:
    """Answer one message after another until the other end closes."""
    with contextlib.suppress(ChannelClosed):
        try:
            desk = _Desk(env_id, kwargs)
        except PalestraError as exc:
            channel.send(failure(exc))
            return
        channel.send(desk.facts())
        while True:
            message = channel.receive()
            try:
                answer = desk.answer(message)
            except KeyboardInterrupt:
                raise
            except BaseException as exc:
                answer = failure(exc)
            channel.send(answer)


def failure(exc: BaseException) -> dict[str, Any]:
    """Return the message that stands for an error; `raised` makes an error of it again."""
    known = isinstance(exc, PalestraError)
    text = str(exc) if known else f"{type(exc).__name__}: {exc}"
    return {"error": type(exc).__name__ if known else "EnvironmentFailed", "text": text}


def raised(answer: dict[str, Any]) -> PalestraError:
    """Return the error that an answer of `failure` stands for."""
    kind = getattr(errors, str(answer["error"]), None)
    if not (isinstance(kind, type) and issubclass(kind, PalestraError)):
        kind = EnvironmentFailed
    return kind(str(answer.get("text", "")))


class _Desk:
    """The episodes of one worker."""

    def __init__(self, env_id: str, kwargs: dict[str, Any]) -> None:
        self._env_id, self._kwargs = env_id, kwargs
        self._prototype = get_registry().make_env(env_id, **kwargs)
        self._episodes: dict[int, TextEnv] = {}

    def facts(self) -> dict[str, Any]:
        env = self._prototype
        return {
            "difficulties": list(env.difficulties),
            "max_turns": env.max_turns,
            "step_timeout_s": env.step_timeout_s,
            "together": env.together,
        }

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        op, number = message["op"], message.get("episode", 0)
        if op == "count":
            return {"count": self._prototype.count(message["split"], message["language"])}
        if op == "close":
            self._close(number)
            return {}
        if op == "reset":
            if number not in self._episodes:
                self._episodes[number] = self._new()
            return _reset(self._episodes[number], message)
        if op == "reference":
            env = self._episodes[number]
            assert env.task is not None
            return {"completion": env.reference_completion(env.task)}
        if op == "step":
            return _step(self._episodes[number], message)
        if op == "settle":
            return {"settled": self._settle(message["episodes"])}
        raise ConfigError(f"a worker does not know '{op}'")

    def _settle(self, episodes: list[dict[str, Any]]) -> list[list[Any]]:
        """Bring each episode to its end again, then have the grader see them all."""
        envs: list[TextEnv] = []
        for episode in episodes:
            envs.append(copy.copy(self._prototype))
            _reset(envs[-1], episode)
            _step(envs[-1], episode)
        return [[reward, info] for reward, info in envs[0].settle(envs[1:])]

    def _new(self) -> TextEnv:
        """Return an environment for one episode; single turns keep nothing, so they share data."""
        if self._prototype.max_turns == 1:
            return copy.copy(self._prototype)
        return get_registry().make_env(self._env_id, **self._kwargs)

    def _close(self, number: int) -> None:
        env = self._episodes.pop(number, None)
        if env is not None and env.max_turns > 1:
            env.close()


def _reset(env: TextEnv, message: dict[str, Any]) -> dict[str, Any]:
    observation, info = env.reset(seed=message["seed"], options=message["options"])
    assert env.task is not None
    return {"observation": observation, "info": info, "task": plain(env.task)}


def _step(env: TextEnv, message: dict[str, Any]) -> dict[str, Any]:
    observation, reward, terminated, truncated, info = env.step(message["action"])
    return {
        "observation": observation,
        "reward": float(reward),
        "terminated": bool(terminated),
        "truncated": bool(truncated),
        "info": info,
    }


def plain(task: Task) -> dict[str, Any]:
    """Return a task's fields as JSON can carry them: what it cannot is text."""
    data: dict[str, Any] = json.loads(json.dumps(asdict(task), default=str))
    return data


def as_task(data: dict[str, Any]) -> Task:
    """Return the task that `plain` made plain data of."""
    from palestra.envs.task import Task

    fields: dict[str, Any] = data | {"tools": tuple(data["tools"])}
    return Task(**fields)
