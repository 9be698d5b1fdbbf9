"""`gymnasium/ToyText-v1`: the games of Gymnasium's `toy_text`, played in words."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np

from palestra.envs import MultiTurnEnv, Score, Task, Turn
from palestra.envs.answers import strict_answer
from palestra.envs.score import Status
from palestra.errors import ConfigError, did_you_mean
from palestra.seeding import derive_seed
from palestra_gymnasium.games import GAMES
from palestra_gymnasium.making import make


class ToyTextEnv(MultiTurnEnv):
    """A game whose board is told in words and whose moves are words in ``<answer>…</answer>``.

    A lake is a new map for each task, of 4 x 4 (level 1) to 8 x 8 (level 5). Each turn is paid what
    the game pays; a turn without a move leaves the game where it is, and is paid nothing.

    Args:
        id: ``FrozenLake-v1``, ``Taxi-v4`` or ``Blackjack-v1``.
        max_turns: moves after which an episode is truncated.
        kwargs: any further argument goes to `gymnasium.make`, as ``is_slippery``.

    Raises:
        ConfigError: no such game, or no such argument of it.
    """

    def __init__(self, id: str = "FrozenLake-v1", max_turns: int = 100, **kwargs: object) -> None:
        super().__init__()
        if id not in GAMES:
            raise ConfigError(
                f"gymnasium/ToyText-v1: no game '{id}'.{did_you_mean(id, GAMES)} "
                f"Games: {', '.join(GAMES)}"
            )
        self._id, self._kwargs, self._game = id, kwargs, GAMES[id]
        self.difficulties = self._game.difficulties
        self.max_turns = max_turns
        self._inner: gymnasium.Env[Any, Any] | None = None
        self._start(self.difficulties[0], 0)  # so that a wrong argument shows before a task does

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw a seed; the rules and what the game shows first are the prompt."""
        seed = derive_seed(int(rng.integers(2**62))) & 0x7FFFFFFF
        prompt = (
            f"{self._game.rules}\n{self._start(difficulty, seed)}\n"
            f"Each turn, give one move inside <answer>…</answer>: {', '.join(self._game.moves)}."
        )
        return Task(prompt=prompt, metadata={"seed": seed, "level": difficulty})

    def begin(self, task: Task) -> str:
        """Set the game up for the task."""
        self._start(cast("int", task.metadata["level"]), cast("int", task.metadata["seed"]))
        return task.messages[-1]["content"]

    def respond(self, task: Task, action: str) -> Turn:
        """Make the move, if there is one."""
        move = strict_answer(action)
        word = (move or "").casefold()
        if word not in self._game.moves:
            reason = f"no move inside <answer>…</answer>: {', '.join(self._game.moves)}"
            score = Score(value=0.0, status=Status.UNPARSABLE, reason=reason, extracted=move)
            return Turn(observation=f"That was {reason}.", score=score)
        assert self._inner is not None
        observation, reward, terminated, _, _ = self._inner.step(self._game.moves.index(word))
        return Turn(
            observation=self._game.show(self._inner, observation),
            score=Score(value=float(reward), extracted=word),
            done=terminated,
        )

    def close(self) -> None:
        """Close the game."""
        if self._inner is not None:
            self._inner.close()

    def _start(self, level: int, seed: int) -> str:
        """Make the game anew; turns are counted by `max_turns`, not by Gymnasium's wrapper."""
        self.close()
        arguments = {**self._game.setting(level, seed), **self._kwargs, "max_episode_steps": -1}
        self._inner = make(self._id, "gymnasium/ToyText-v1", **arguments)
        observation, _ = self._inner.reset(seed=seed)
        return self._game.show(self._inner, observation)
