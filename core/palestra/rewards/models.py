"""`RewardModels`: the reward models of a run, by the names that its recipe calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ValidationError

from palestra.errors import ConfigError, GraderFailed, boundary, did_you_mean
from palestra.plugins.registry import Kind, Registry
from palestra.rewards.config import RewardModelBlock

if TYPE_CHECKING:
    from palestra.rewards.base import RewardModel


class RewardModels:
    """Makes each reward model when it is first asked for, and one for all that ask.

    A name stands for an entry of the recipe's `reward_models`, or else for the registered reward
    model of that name with its default options.

    Args:
        registry: where reward models are found.
        blocks: the recipe's entries.
        locate: returns what to load for the option `from`, which may be a stage's name.
    """

    def __init__(
        self,
        registry: Registry,
        blocks: Mapping[str, RewardModelBlock] | None = None,
        locate: Callable[[str], str] = lambda origin: origin,
    ) -> None:
        self._registry, self._blocks, self._locate = registry, dict(blocks or {}), locate
        self._made: dict[str, RewardModel] = {}

    @property
    def names(self) -> list[str]:
        """Every name that stands for a reward model, sorted."""
        return sorted({*self._blocks, *self._registry.names(Kind.REWARD_MODEL)})

    def get(self, name: str) -> RewardModel:
        """Return the reward model that `name` stands for.

        Raises:
            ConfigError: there is none, or its options are wrong.
            GraderFailed: its constructor raised.
        """
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> RewardModel:
        block = self._blocks.get(name)
        kind = block.type if block is not None else name
        factory = cast("Any", self._registry.load(Kind.REWARD_MODEL, kind))
        config = self._registry.config(Kind.REWARD_MODEL, kind)
        options = block.options if block is not None else {}
        if block is not None and block.origin is not None:
            options["from"] = self._locate(block.origin)
        with boundary(GraderFailed, f"reward model '{name}'"):
            if config is None:
                return factory()
            return factory(_checked(config, options, name))


def _checked(config: type[BaseModel], options: dict[str, Any], name: str) -> BaseModel:
    try:
        return config.model_validate(options)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        known = [field.alias or n for n, field in config.model_fields.items()]
        what = first["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"reward model '{name}': {key}: {what}.{did_you_mean(key, known)} Its options are set "
            "by an entry of `reward_models`"
        ) from exc
