"""Every hook of Palestra, with what it must return: the plugin API on one page.

A plugin is a module with any of these functions, named by an entry point of the group
``palestra``. As with pytest, a function needs no mark: its name makes it a hook, and a
``palestra_*`` function that is no hook is an error of the plugin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from palestra.plugins.specs import (
        CurriculumSpec,
        EnvironmentSpec,
        PolicyOptimizerSpec,
        RewardModelSpec,
        SamplerSpec,
        SandboxSpec,
        StageSpec,
    )

PROJECT = "palestra"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def palestra_environments() -> Sequence[EnvironmentSpec]:  # type: ignore[empty-body]
    """Return the environments that the plugin brings.

    Example:
        >>> def palestra_environments():
        ...     return [EnvironmentSpec(name="acme/Add-v1", entry_point="acme.add:AddEnv")]
    """


@hookspec
def palestra_reward_models() -> Sequence[RewardModelSpec]:  # type: ignore[empty-body]
    """Return the reward models: objects with ``score(batch) -> list[Score]``."""


@hookspec
def palestra_policy_optimizers() -> Sequence[PolicyOptimizerSpec]:  # type: ignore[empty-body]
    """Return the policy optimizers: subclasses of `palestra.optimizers.base.PolicyOptimizer`."""


@hookspec
def palestra_samplers() -> Sequence[SamplerSpec]:  # type: ignore[empty-body]
    """Return the samplers: engines that generate."""


@hookspec
def palestra_sandboxes() -> Sequence[SandboxSpec]:  # type: ignore[empty-body]
    """Return the sandboxes for untrusted programs."""


@hookspec
def palestra_curricula() -> Sequence[CurriculumSpec]:  # type: ignore[empty-body]
    """Return the curricula: what moves a mixture's weights and difficulties."""


@hookspec
def palestra_stages() -> Sequence[StageSpec]:  # type: ignore[empty-body]
    """Return the types of stage that recipes may name."""


@hookspec
def palestra_run_started(run: Path) -> None:
    """Observe that a run begins in the folder `run`."""


@hookspec
def palestra_step_finished(
    run: Path, stage: str, step: int, metrics: Mapping[str, Any], groups: Sequence[Any]
) -> None:
    """Observe a step of reinforcement learning, with its groups of trajectories."""


@hookspec
def palestra_stage_finished(run: Path, stage: str, report: Mapping[str, Any]) -> None:
    """Observe the end of a stage, with its evaluation by environment."""
