"""What a recipe says of reward models: an entry of its `reward_models`, a stage's `watch`."""

from __future__ import annotations

from pydantic import Field

from palestra.config import ConfigModel, PluginBlock


class RewardModelBlock(PluginBlock):
    """A reward model and its options, ``{type: overlong, max_length: 512, buffer: 128}``; options
    are its plugin's own. Where one is called `from`, a stage's name stands for its weights."""

    type: str
    """Name of the reward model's type."""

    @property
    def origin(self) -> str | None:
        """What its option `from` names: a stage, a folder, or a hub id."""
        origin = self.options.get("from")
        return origin if isinstance(origin, str) and origin else None


class WatchConfig(ConfigModel):
    """Watching for reward hacking: the reward that trains against one that does not."""

    gold: str
    """The reward that is held out: a component that the environment emits, or a reward model. No
    source of the stage's mixture may be paid by it."""

    every: int = Field(default=1, ge=1)
    """Steps between measurements."""

    window: int = Field(default=20, ge=6)
    """Measurements over which the reward must rise and the gold fall, each with one-sided p < 0.01
    by the Mann-Kendall trend test."""

    stop: bool = False
    """Whether the stage ends where they part; else it is said, and the stage goes on."""
