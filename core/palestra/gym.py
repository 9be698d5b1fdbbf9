"""Mirror of the registry into Gymnasium. Importing it is all there is to do:

    env = gymnasium.make("palestra.gym:math/Arithmetic-v1")

works in a fresh process. `max_episode_steps` stays unset, because environments truncate
themselves: Gymnasium's own limit would end single turns both terminated and truncated. A plugin
that is broken is not mirrored, and breaks nothing else.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

import gymnasium

from palestra.plugins.registry import Kind, get_registry
from palestra.plugins.specs import EnvironmentSpec

if TYPE_CHECKING:
    from palestra.envs.env import TextEnv


def make(env_id: str, **kwargs: object) -> TextEnv:
    """Make an environment by its id: the entry point of every mirrored spec."""
    return get_registry().make_env(env_id, **kwargs)


def mirror() -> list[str]:
    """Register every environment that Gymnasium does not know yet; return their ids.

    Call it again after `Registry.add_local`.
    """
    added: list[str] = []
    for found in get_registry().specs(Kind.ENVIRONMENT):
        spec = cast("EnvironmentSpec", found.spec)
        if spec.name in gymnasium.registry:
            continue
        try:
            gymnasium.register(
                id=spec.name,
                entry_point="palestra.gym:make",
                kwargs={"env_id": spec.name},
                nondeterministic=not spec.deterministic,
            )
        except Exception as exc:
            logging.getLogger("palestra").warning("cannot mirror %s: %s", spec.name, exc)
            continue
        added.append(spec.name)
    return added


mirror()
