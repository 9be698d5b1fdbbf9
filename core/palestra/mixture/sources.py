"""A mixture's sources: environments made ready, each with its own rewards."""

from __future__ import annotations

import copy
from typing import Any

from palestra.envs import TextEnv
from palestra.grading.isolation import open_env
from palestra.mixture.config import MixtureConfig, SourceConfig
from palestra.plugins.registry import Registry
from palestra.rewards.base import RewardSum
from palestra.rewards.models import RewardModels


class Source:
    """One environment of a mixture.

    Args:
        config: what the recipe says of it.
        registry: where the environment comes from.
        where: how errors name it, as in ``mixtures.reasoning.sources.0``.
        models: the run's reward models; the registered ones where absent.
    """

    def __init__(
        self,
        config: SourceConfig,
        registry: Registry,
        where: str,
        models: RewardModels | None = None,
    ) -> None:
        self.config = config
        self.where = where
        self._registry = registry
        self._prototype = open_env(registry, config.env, config.kwargs)
        models = models if models is not None else RewardModels(registry)
        self.rewards = RewardSum(config.rewards, models, f"{where} ({config.env})")
        self.options: dict[str, Any] = {"split": config.split}
        if config.difficulty is not None:
            self.options["difficulty"] = config.difficulty
        if config.language is not None:
            self.options["language"] = config.language

    def env(self) -> TextEnv:
        """Return an environment for one episode.

        Single-turn environments keep nothing between turns, so a shallow copy shares their data;
        a conversation gets an instance of its own.
        """
        if self._prototype.max_turns == 1:
            return copy.copy(self._prototype)
        return open_env(self._registry, self.config.env, self.config.kwargs)


def make_sources(
    config: MixtureConfig, registry: Registry, where: str, models: RewardModels | None = None
) -> list[Source]:
    """Return the sources of a mixture, in the order of the recipe; they share `models`."""
    models = models if models is not None else RewardModels(registry)
    return [
        Source(source, registry, f"{where}.sources.{i}", models)
        for i, source in enumerate(config.sources)
    ]
