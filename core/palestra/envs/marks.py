"""`@environment`: names an environment's class, so that its file needs no hook."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import gymnasium

from palestra.envs.env import TextEnv
from palestra.envs.plain import PlainEnv

AnyEnv = type[gymnasium.Env[Any, Any]]


def environment(env_id: str) -> Callable[[AnyEnv], type[TextEnv]]:
    """Name an environment's class; a recipe or command that lists its file finds it.

    A class that is not a `TextEnv` is wrapped: any Gymnasium environment over text may be marked.

    Args:
        env_id: ``namespace/Name-vN``.

    Example:
        >>> @environment("acme/Chat-v1")
        ... class Chat(MultiTurnEnv):
        ...     def respond(self, task, action):
        ...         return Turn(done=True)
    """

    def mark(cls: AnyEnv) -> type[TextEnv]:
        marked = cls if issubclass(cls, TextEnv) else _wrapped(cls)
        marked.env_id = env_id
        return marked

    return mark


def _wrapped(cls: AnyEnv) -> type[PlainEnv]:
    """Return a class that is made as `cls` is, and wraps what that makes."""

    def __init__(self: PlainEnv, *args: object, **kwargs: object) -> None:
        PlainEnv.__init__(self, cls(*args, **kwargs))

    body = {
        "__init__": __init__,
        "__doc__": cls.__doc__,
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__signature__": inspect.signature(cls),
    }
    return type(cls.__name__, (PlainEnv,), body)
