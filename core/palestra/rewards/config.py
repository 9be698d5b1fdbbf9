"""What a recipe says of a reward model: an entry of its `reward_models`."""

from __future__ import annotations

from palestra.config import PluginBlock


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
