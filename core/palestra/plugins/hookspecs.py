"""Every hook of Palestra: the plugin API on one page.

A plugin is a module with any of these functions, named by an entry point of the group `palestra`.
Hooks that declare return specs, which are plain data: the code behind an `entry_point` string is
imported when a recipe uses it. A function may ask for fewer arguments than its hook offers, never
for others; an unknown ``palestra_*`` function is an error. The decorator `hookimpl` is optional.

An installed plugin's module is imported once in a process of its own, with a deadline, and what it
declares is kept until the package, or one that it requires, changes: its specs must follow from
what is installed alone. In the process of a command it is imported only to observe.

    palestra_environments()           palestra_run_started(run)
    palestra_reward_models()          palestra_step_finished(run, stage, step, metrics, groups)
    palestra_policy_optimizers()      palestra_stage_finished(run, stage, report)
    palestra_samplers()
    palestra_sandboxes()              (left: declare; right: observe,
    palestra_curricula()               an exception is logged and never fatal)
    palestra_stages()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

from palestra.plugins.specs import (
    CurriculumSpec,
    EnvironmentSpec,
    PolicyOptimizerSpec,
    RewardModelSpec,
    SamplerSpec,
    SandboxSpec,
    StageSpec,
)

if TYPE_CHECKING:
    from palestra.rollout.trajectory import Group

hookspec = pluggy.HookspecMarker("palestra")
hookimpl = pluggy.HookimplMarker("palestra")


# -- declare ------------------------------------------------------------------------------------


@hookspec
def palestra_environments() -> Sequence[EnvironmentSpec]:
    """Declare environments; each id begins with the name of the plugin's entry point.

    Example:
        >>> def palestra_environments():
        ...     return [EnvironmentSpec(name="acme/Add-v1", entry_point="acme.add:AddEnv")]
    """
    return ()


@hookspec
def palestra_reward_models() -> Sequence[RewardModelSpec]:
    """Declare reward models: what scores completions besides their environment.

    With a `config`, its options are set by entries of a recipe's ``reward_models``.

    Example:
        >>> def palestra_reward_models():
        ...     return [RewardModelSpec(name="politeness", entry_point="acme.polite:Politeness")]
    """
    return ()


@hookspec
def palestra_policy_optimizers() -> Sequence[PolicyOptimizerSpec]:
    """Declare policy optimizers: advantages and loss of an algorithm.

    Example:
        >>> def palestra_policy_optimizers():
        ...     entry, config = "acme.rloo:RLOO", "acme.rloo_config:RLOOConfig"
        ...     return [PolicyOptimizerSpec(name="rloo", entry_point=entry, config=config)]
    """
    return ()


@hookspec
def palestra_samplers() -> Sequence[SamplerSpec]:
    """Declare samplers: what turns prompts into completions and their log-probs.

    The entry point, a class or a function, is called with a
    `palestra.rollout.samplers.base.SamplerContext` and the options of the recipe's
    ``engine.sampler`` as keywords.

    Example:
        >>> def palestra_samplers():
        ...     return [SamplerSpec(name="my_server", entry_point="acme.server:ServerSampler")]
    """
    return ()


@hookspec
def palestra_sandboxes() -> Sequence[SandboxSpec]:
    """Declare sandboxes: where programs that a model wrote are run.

    Example:
        >>> def palestra_sandboxes():
        ...     return [SandboxSpec(name="firejail", entry_point="acme.jail:Firejail")]
    """
    return ()


@hookspec
def palestra_curricula() -> Sequence[CurriculumSpec]:
    """Declare curricula: what decides how hard the next tasks of a mixture are.

    Example:
        >>> def palestra_curricula():
        ...     return [CurriculumSpec(name="ladder", entry_point="acme.ladder:Ladder")]
    """
    return ()


@hookspec
def palestra_stages() -> Sequence[StageSpec]:
    """Declare types of stage for recipes.

    Example:
        >>> def palestra_stages():
        ...     entry, config = "acme.dpo:DPOStage", "acme.dpo_config:DPOConfig"
        ...     return [StageSpec(name="dpo", entry_point=entry, config=config)]
    """
    return ()


# -- observe ------------------------------------------------------------------------------------


@hookspec
def palestra_run_started(run: Path) -> None:
    """Observe that a run begins, or goes on.

    Args:
        run: the run's folder, its manifest already written.

    Example:
        >>> def palestra_run_started(run):
        ...     print(f"see {run}")
    """


@hookspec
def palestra_step_finished(
    run: Path,
    stage: str,
    step: int,
    metrics: Mapping[str, float],
    groups: Sequence[Group],
) -> None:
    """Observe a step of reinforcement learning.

    Args:
        run: the run's folder.
        stage: the stage's name in the recipe.
        step: the number of the step.
        metrics: what the step measured.
        groups: the rollout; read it, and keep no part of it.

    Example:
        >>> def palestra_step_finished(stage, step, metrics):
        ...     print(stage, step, metrics.get("reward"))
    """


@hookspec
def palestra_stage_finished(run: Path, stage: str, report: Mapping[str, object]) -> None:
    """Observe that a stage is done.

    Args:
        run: the run's folder.
        stage: the stage's name in the recipe.
        report: its evaluations, as in ``results.json``.

    Example:
        >>> def palestra_stage_finished(stage, report):
        ...     print(stage, report)
    """
