"""`PlainEnv`: any Gymnasium environment over text, with what the framework asks beside.

Such an environment knows nothing of tasks, splits or scores. Its first observation is the prompt,
its seed is the task, and each reward is the component ``accuracy`` of its turn.
"""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np

from palestra.envs.env import MultiTurnEnv, Turn
from palestra.envs.score import Score
from palestra.envs.task import Task
from palestra.errors import EnvironmentFailed
from palestra.seeding import derive_seed


class PlainEnv(MultiTurnEnv):
    """Stands for a Gymnasium environment whose observations and actions are text.

    Args:
        inner: the environment; it is closed with this one.
        max_turns: turns after which an episode is truncated.

    Raises:
        EnvironmentFailed: its spaces are not of text.
    """

    def __init__(self, inner: gymnasium.Env[Any, Any], max_turns: int = 32) -> None:
        super().__init__()
        for name in ("observation_space", "action_space"):
            space = getattr(inner, name, None)
            if not _is_text(space):
                raise EnvironmentFailed(
                    f"{inner}: its {name} is {space!r}; Palestra takes environments over text "
                    "(gymnasium.spaces.Text, or palestra's TextSpace)"
                )
        self.inner = inner
        self.max_turns = max_turns
        self._seed: int | None = None

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw a seed; what the environment says when it is reset with it is the prompt."""
        seed = derive_seed(int(rng.integers(2**62))) & 0x7FFFFFFF
        observation, _ = self.inner.reset(seed=seed)
        self._seed = seed
        return Task(prompt=_text(self.inner, observation), metadata={"seed": seed})

    def begin(self, task: Task) -> str:
        """Bring the environment to the task, unless it is there already."""
        seed = cast("int", task.metadata["seed"])
        if self._seed != seed:
            observation, _ = self.inner.reset(seed=seed)
            if _text(self.inner, observation) != task.messages[-1]["content"]:
                raise EnvironmentFailed(f"{self.env_id}: one seed gave two first observations")
        self._seed = None  # steps will lead away from it
        return task.messages[-1]["content"]

    def respond(self, task: Task, action: str) -> Turn:
        """Step the environment."""
        observation, reward, terminated, truncated, _ = self.inner.step(action)
        return Turn(
            observation=_text(self.inner, observation),
            score=Score(value=float(reward)),
            done=bool(terminated),
            truncated=bool(truncated),
        )

    def close(self) -> None:
        """Close the environment."""
        self.inner.close()


def _is_text(space: object) -> bool:
    return isinstance(space, gymnasium.Space) and (
        isinstance(space, gymnasium.spaces.Text) or getattr(space, "dtype", None) is str
    )


def _text(env: object, observation: object) -> str:
    if not isinstance(observation, str):
        raise EnvironmentFailed(f"{env}: an observation is a {type(observation).__name__}, no text")
    return observation
