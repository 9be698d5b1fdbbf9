"""Palestra: reasoning environments as plugins, and the DeepSeek-R1 recipe.

Importing this package imports nothing else: each name below loads on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palestra.envs.env import MultiTurnEnv, SingleTurnEnv, TextEnv, Turn, single_turn
    from palestra.envs.marks import environment
    from palestra.envs.plain import PlainEnv
    from palestra.envs.score import Score, Status
    from palestra.envs.task import Task
    from palestra.plugins.hookspecs import hookimpl
    from palestra.plugins.specs import (
        CurriculumSpec,
        EnvironmentSpec,
        PolicyOptimizerSpec,
        RewardModelSpec,
        SamplerSpec,
        SandboxSpec,
        StageSpec,
    )

    __version__: str

__all__ = [
    "CurriculumSpec",
    "EnvironmentSpec",
    "MultiTurnEnv",
    "PlainEnv",
    "PolicyOptimizerSpec",
    "RewardModelSpec",
    "SamplerSpec",
    "SandboxSpec",
    "Score",
    "SingleTurnEnv",
    "StageSpec",
    "Status",
    "Task",
    "TextEnv",
    "Turn",
    "__version__",
    "environment",
    "hookimpl",
    "single_turn",
]

_HOMES = {
    "MultiTurnEnv": "palestra.envs.env",
    "PlainEnv": "palestra.envs.plain",
    "Score": "palestra.envs.score",
    "SingleTurnEnv": "palestra.envs.env",
    "Status": "palestra.envs.score",
    "Task": "palestra.envs.task",
    "TextEnv": "palestra.envs.env",
    "Turn": "palestra.envs.env",
    "environment": "palestra.envs.marks",
    "hookimpl": "palestra.plugins.hookspecs",
    "single_turn": "palestra.envs.env",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("palestra")
    elif name in _HOMES or (name in __all__ and name.endswith("Spec")):
        home = _HOMES.get(name, "palestra.plugins.specs")
        value = getattr(importlib.import_module(home), name)
    else:
        raise AttributeError(f"module 'palestra' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
