"""`textarena/Game-v1`: single-player games of TextArena, as conversations."""

# pyright: reportMissingImports=false
# A checkout need not have TextArena to be checked.

from __future__ import annotations

import contextlib
import inspect
import io
import math
import re
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import textarena
from textarena.envs.registration import ENV_REGISTRY

from palestra.envs.answers import strict_answer
from palestra.envs.env import MultiTurnEnv, Turn
from palestra.envs.score import Score
from palestra.envs.task import Task
from palestra.errors import ConfigError, EnvironmentFailed, did_you_mean
from palestra.splits import Split
from palestra_textarena.randomness import OwnRandom

_PROBE_SEEDS = (0, 1, 2)
_PROBE_MOVES = (("", ""), ("[0]", "[0]"), ("[1 1 1 1]", ""))
_LONGEST_MOVE = 300  # characters; upstream looks for a move anywhere, in the prompt echoed too
_KINDS = ("-raw", "-train")  # upstream's names of one game in other wrappings


class GameEnv(MultiTurnEnv):
    """A game against nobody: a puzzle, a board, a secret to find.

    The game's seed is the task, and its first observation the prompt. Where a game says the same
    first words for every seed (its secret is not shown), the prompt ends with the game's number, so
    that two games are two tasks and splits stay disjoint. Where the seed decides nothing at all
    (TowerOfHanoi-v0), there is one task, and it is of the split train.

    A finished game pays what upstream says, from 0 to 1, as ``accuracy``. One that ended with an
    invalid move pays 0, though upstream may pay for the cells that were filled before it: else
    silence would earn. ``game_reward`` is upstream's own number, and ``invalid_move`` is 1 where
    such a move was the end.

    A move is what the policy's ``<answer>`` holds, or all that follows its thoughts. What is longer
    than 300 characters is no move.

    Args:
        id: upstream's id of the game, such as ``Sudoku-v0-easy``.
        max_turns: turns after which an episode is truncated, and pays 0.

    Raises:
        ConfigError: no such game, or it cannot be played here; the text says why.
    """

    step_timeout_s = 20.0

    def __init__(self, id: str, max_turns: int = 50) -> None:
        super().__init__()
        if max_turns < 2:
            raise ConfigError(f"textarena/Game-v1: max_turns is 2 or more, not {max_turns}")
        self.max_turns = max_turns
        self._name = id
        self._play: _Play | None = None
        plays = [_Play(id, seed) for seed in _PROBE_SEEDS]
        self._numbered = len({play.first for play in plays}) == 1
        self._only = self._numbered and not plays[0].draws
        for play, moves in zip(plays, _PROBE_MOVES, strict=True):
            play.refuse_if_it_breaks(moves)

    def tasks(self, split: Split) -> Sequence[Task] | None:
        """Return the one task of a game that is the same for every seed, else None."""
        if not self._only:
            return None
        seed = _PROBE_SEEDS[0]
        task = Task(prompt=_Play(self._name, seed).first, metadata={"seed": seed}, id="the-game")
        return [task] if split == "train" else []

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw a seed; what the game says first is the prompt."""
        seed = int(rng.integers(2**31))
        self._play = _Play(self._name, seed)
        return Task(prompt=self._prompt(self._play), metadata={"seed": seed, "game": self._name})

    def begin(self, task: Task) -> str:
        """Set the game up, unless it was just set up for the prompt."""
        seed = cast("int", task.metadata["seed"])
        if self._play is None or self._play.seed != seed or self._play.moves:
            self._play = _Play(self._name, seed)
        prompt = self._prompt(self._play)
        if prompt != task.messages[-1]["content"]:
            raise EnvironmentFailed(f"{self._name}: seed {seed} gave two first observations")
        return prompt

    def respond(self, task: Task, action: str) -> Turn:
        """Make the policy's move."""
        assert self._play is not None
        answer = strict_answer(action)
        move = answer if answer is not None else action.rpartition("</think>")[2].strip()
        observation = self._play.move(move if len(move) <= _LONGEST_MOVE else "")
        if not self._play.done:
            return Turn(observation=observation)
        return Turn(score=self._play.score(move), done=True)

    def _prompt(self, play: _Play) -> str:
        numbered = self._numbered and not self._only
        return f"{play.first}\n\nGame {play.seed}." if numbered else play.first


class _Play:
    """One game with its own random numbers."""

    def __init__(self, name: str, seed: int) -> None:
        self.seed = seed
        self.moves = 0
        self.done = False
        self._name = name
        self._random = OwnRandom(seed)
        with self._random.lent(), contextlib.redirect_stdout(io.StringIO()):  # some games print
            self._game: Any = _set_up(name, seed)
            self.first = self._said()

    @property
    def draws(self) -> bool:
        """Whether the game's code draws random numbers, now or (Minesweeper) at the first move."""
        source = inspect.getsource(inspect.getmodule(type(self._game.env)) or textarena)
        return re.search(r"\b(random|rng)\.\w", source) is not None

    def refuse_if_it_breaks(self, moves: Sequence[str]) -> None:
        """Refuse a game whose own code raises at a wrong move: policies make them all the time."""
        for move in moves:
            try:
                if not self.done:
                    self.move(move)
                    if self.done:
                        self.score(move)
            except Exception as exc:
                raise ConfigError(
                    f"{self._name}: TextArena's own code raises at the move '{move}': "
                    f"{type(exc).__name__}: {exc}"
                ) from exc

    def move(self, move: str) -> str:
        """Make a move, and return what the game says of it."""
        self.moves += 1
        with self._random.lent(), contextlib.redirect_stdout(io.StringIO()):
            self.done, _ = self._game.step(move)
            return "" if self.done else self._said()

    def score(self, move: str) -> Score:
        """Return the score of a finished game."""
        told = self._game.state.game_info[0]
        reward = float((self._game.state.rewards or {}).get(0, math.nan))
        if not -1.0 <= reward <= 1.0:
            raise ValueError(f"{self._name} paid {reward}; its rewards should be from -1 to 1")
        invalid = bool(told["invalid_move"])
        value = 0.0 if invalid else max(0.0, reward)
        return Score(
            value=value,
            components={
                "accuracy": value,
                "game_reward": reward,
                "invalid_move": float(invalid),
            },
            reason=str(told.get("reason", "")),
            extracted=move[:200],
        )

    def _said(self) -> str:
        """Return what the game said since the last move, without the echo of that move."""
        _, messages = self._game.get_observation()
        echo = textarena.ObservationType.PLAYER_ACTION
        return "\n".join(text.strip() for _, text, kind in messages if kind is not echo)


def _set_up(name: str, seed: int) -> Any:
    """Make and reset a game, or say why it cannot be played."""
    games = [game for game in ENV_REGISTRY if not game.endswith(_KINDS)]
    if name not in games:
        raise ConfigError(f"TextArena has no game '{name}'.{did_you_mean(name, games)}")
    raw = f"{name}-raw"
    try:
        game: Any = textarena.make(raw if raw in ENV_REGISTRY else name)
        _refuse_models(name, game)
        game.reset(num_players=1, seed=seed)
    except ConfigError:
        raise
    except Exception as exc:
        raise ConfigError(f"{name}: {_why(exc)}") from exc
    if not isinstance(game.state, textarena.SinglePlayerState):
        raise ConfigError(f"{name}: it is a game for several players; only single-player ones work")
    return textarena.wrappers.ActionFormattingWrapper(game)


def _refuse_models(name: str, game: object) -> None:
    """Refuse a game that asks a language model over the network in the middle of it."""
    if any(isinstance(part, textarena.Agent) for part in vars(game).values()):
        raise ConfigError(f"{name}: it asks a language model over the network, so no move is sure")


def _why(exc: Exception) -> str:
    """Return one line on why upstream cannot set a game up, with the mend where there is one."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip(" *")]
    first = lines[0] if lines else ""
    if isinstance(exc, SyntaxError):
        return f"its source needs a newer Python ({type(exc).__name__}: {first})"
    if isinstance(exc, LookupError) and "nltk" in str(exc):
        data = next((line for line in lines if "nltk.download" in line), "").strip("> ")
        return (
            f"it needs data of nltk that is not installed: {first} Run: {data or 'nltk.download'}"
        )
    if "player" in str(exc).lower():
        return f"it is a game for several players; only single-player ones work ({first})"
    if "OpenRouter" in str(exc):
        return "it asks a language model over the network, so no move is sure"
    return f"TextArena cannot set it up: {type(exc).__name__}: {first}"
