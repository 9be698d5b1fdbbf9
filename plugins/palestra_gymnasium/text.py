"""`gymnasium/Env-v1`: any Gymnasium environment whose observations and actions are text."""

from __future__ import annotations

from palestra.envs.plain import PlainEnv
from palestra_gymnasium.making import make


class GymnasiumEnv(PlainEnv):
    """A Gymnasium environment over text, by its id.

    Its first observation is the prompt, its seed the task, and each reward the component
    ``accuracy`` of its turn. A policy's whole turn is the action: the tags are not taken off.

    Args:
        id: as `gymnasium.make` takes it; ``package.module:Name-v0`` imports the module first.
        max_turns: turns after which an episode is truncated.
        kwargs: any further argument goes to `gymnasium.make`.

    Raises:
        ConfigError: no such module, id or argument.
        EnvironmentFailed: its spaces are not of text.

    Example:
        >>> env = palestra.make("gymnasium/Env-v1", id="acme_games:Riddle-v0", max_turns=5)
    """

    def __init__(self, id: str, max_turns: int = 32, **kwargs: object) -> None:
        super().__init__(make(id, "gymnasium/Env-v1", **kwargs), max_turns=max_turns)
