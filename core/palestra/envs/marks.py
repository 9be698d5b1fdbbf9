"""`@environment`: names an environment's class, so that its file needs no hook."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import gymnasium

E = TypeVar("E", bound="type[gymnasium.Env[str, str]]")


def environment(env_id: str) -> Callable[[E], E]:
    """Name an environment's class; a recipe or command that lists its file finds it.

    Args:
        env_id: ``namespace/Name-vN``.

    Example:
        >>> @environment("acme/Chat-v1")
        ... class Chat(MultiTurnEnv):
        ...     def respond(self, task, action):
        ...         return Turn(done=True)
    """

    def mark(cls: E) -> E:
        setattr(cls, "env_id", env_id)  # noqa: B010 - any Gymnasium environment may be marked
        return cls

    return mark
