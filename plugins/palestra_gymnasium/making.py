"""Making a Gymnasium environment by its id, with an error that a person can act on."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium

from palestra.errors import ConfigError, EnvironmentFailed, did_you_mean


def make(env_id: str, what: str, **kwargs: object) -> gymnasium.Env[Any, Any]:
    """Return the environment that Gymnasium registers under `env_id`.

    Args:
        env_id: as `gymnasium.make` takes it: ``Name-v0``, ``namespace/Name-v0``, or either behind
            the module that registers it and a colon.
        what: who asks, for the error.
        kwargs: arguments of `gymnasium.make`.

    Raises:
        ConfigError: the module does not exist, or registers no such id.
        EnvironmentFailed: the module, or the environment's constructor, raised.
    """
    module, colon, name = env_id.rpartition(":")
    if colon:
        _import(module, f"{what}: id '{env_id}'")
    if name not in gymnasium.registry:
        hint = did_you_mean(name, gymnasium.registry)
        if not hint and not colon:
            hint = " An id that a package registers is written 'package.module:Name-v0'"
        raise ConfigError(f"{what}: Gymnasium has no environment '{name}'.{hint}")
    try:
        return gymnasium.make(name, **kwargs)  # pyright: ignore[reportArgumentType]
    except TypeError as exc:
        raise ConfigError(f"{what}: '{env_id}' cannot be made so: {exc}") from exc
    except Exception as exc:
        raise EnvironmentFailed(f"{what}: '{env_id}': {type(exc).__name__}: {exc}") from exc


def _import(module: str, what: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (module == exc.name or module.startswith(f"{exc.name}.")):
            raise ConfigError(
                f"{what}: no module '{exc.name}': install the package that registers it"
            ) from exc
        raise ConfigError(f"{what}: '{module}' needs '{exc.name}', which is not installed") from exc
    except Exception as exc:
        raise EnvironmentFailed(
            f"{what}: import of '{module}': {type(exc).__name__}: {exc}"
        ) from exc
