"""What all configs share: frozen, strict, and no unknown keys."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _difficulty(value: object) -> object:
    """Accept a level, or a pair of levels from low to high."""

    def is_level(level: object) -> bool:
        return isinstance(level, int) and not isinstance(level, bool) and level >= 0

    if value is None or is_level(value):
        return value
    if isinstance(value, list | tuple):
        pair: list[Any] = list(value)
        if len(pair) == 2 and all(is_level(level) for level in pair):
            if pair[0] > pair[1]:
                raise ValueError(f"the first level of {pair} should not be above the second")
            return (pair[0], pair[1])
    raise ValueError(f"should be a level (0 or more) or a pair [lowest, highest], not {value!r}")


Difficulty = Annotated[int | tuple[int, int] | None, BeforeValidator(_difficulty)]


class ConfigModel(BaseModel):
    """Base of every config: frozen, refuses unknown keys, and takes no text for a number."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        populate_by_name=True,
        protected_namespaces=(),
    )


class PluginBlock(BaseModel):
    """A block ``{type: NAME, **options}`` whose options belong to the plugin of that name."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)

    type: str
    """Name of the plugin."""

    @property
    def options(self) -> dict[str, Any]:
        """The plugin's options; after `load_recipe`, checked by its config and with defaults."""
        return dict(self.model_extra or {})
