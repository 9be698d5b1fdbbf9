"""What plugin authors' tests import: `check_environment`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from gymnasium.utils.env_checker import check_env

from palestra.errors import NotFound
from palestra.plugins.registry import Kind, get_registry
from palestra.plugins.specs import EnvironmentSpec

if TYPE_CHECKING:
    from palestra.envs.env import TextEnv

__all__ = ["check_environment"]


def check_environment(env: TextEnv | str, seeds: Iterable[int] = range(8)) -> None:
    """Hold an environment to its contract: Gymnasium's own checks, and these.

    The same seed gives the same task; the reference completion earns the maximum; a completion
    that says nothing earns nothing, and is a verdict all the same.

    Args:
        env: an environment, or the id of one that is installed.
        seeds: tasks to look at.

    Raises:
        AssertionError: it breaks the contract; the message says how.

    Example:
        >>> check_environment("math/Arithmetic-v1")
    """
    env = get_registry().make_env(env) if isinstance(env, str) else env
    spec = _spec(env)
    with warnings.catch_warnings():  # of spaces and rendering, which text environments do without
        warnings.simplefilter("ignore")
        check_env(env, skip_render_check=True)
    for seed in seeds:
        _check_seed(env, spec, seed)


def _spec(env: TextEnv) -> EnvironmentSpec:
    """Return what the plugin declared of it, or the defaults of an unregistered one."""
    try:
        return cast("EnvironmentSpec", get_registry().find(Kind.ENVIRONMENT, env.env_id).spec)
    except NotFound:
        return EnvironmentSpec(name=env.env_id, entry_point="", max_turns=env.max_turns)


def _check_seed(env: TextEnv, spec: EnvironmentSpec, seed: int) -> None:
    what = f"{env.env_id or type(env).__name__}, seed {seed}"
    first, task = env.reset(seed=seed), env.task
    assert env.reset(seed=seed) == first, f"{what}: the same seed gave two tasks"
    _, reward, _, _, info = env.step("")
    assert info["reward_valid"], f"{what}: an empty completion got no verdict: {info['reason']}"
    assert reward <= max(0.0, spec.reward_range[0]), (
        f"{what}: an empty completion earned {reward:g}"
    )
    if task is None or not spec.has_reference or spec.max_turns > 1:
        return
    completion = env.reference_completion(task)
    assert completion is not None, (
        f"{what}: no reference completion; declare has_reference=False, or write one"
    )
    env.reset(seed=seed)
    _, reward, _, _, info = env.step(completion)
    assert reward == spec.reward_range[1], (
        f"{what}: the reference completion earned {reward:g}, not {spec.reward_range[1]:g}: "
        f"{info['reason'] or completion!r}"
    )
