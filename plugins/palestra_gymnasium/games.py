"""What each game of `toy_text` says in words: its rules, its moves and what it shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import gymnasium

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")  # colours, which say nothing to a policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Game:
    """A game, in words.

    Attributes:
        rules: what a player has to know.
        moves: the words for the actions, in the order of their numbers.
        show: says what the player sees, from the environment and its last observation.
        difficulties: the lowest and the highest level.
        setting: the arguments of `gymnasium.make` for a level and a seed.
    """

    rules: str
    moves: tuple[str, ...]
    show: Callable[[gymnasium.Env[Any, Any], Any], str]
    difficulties: tuple[int, int] = (1, 1)
    setting: Callable[[int, int], Mapping[str, object]] = field(default=lambda level, seed: {})


def _lake(env: gymnasium.Env[Any, Any], observation: Any) -> str:
    rows = _ESCAPE.sub("", _drawn(env)).split()
    rows = [row for row in rows if not row.startswith("(")]  # the last move, by its name
    row, column = divmod(int(observation), len(rows[0]))
    lines = rows[-len(rows[0]) :]
    return "\n".join(lines) + f"\nYou are in row {row + 1}, column {column + 1}."


def _random_map(level: int, seed: int) -> Mapping[str, object]:
    from gymnasium.envs.toy_text.frozen_lake import generate_random_map

    return {"desc": generate_random_map(size=level + 3, seed=seed), "render_mode": "ansi"}


_STOPS = ("R", "G", "Y", "B")


def _taxi(env: gymnasium.Env[Any, Any], observation: Any) -> str:
    decode = cast("Any", env.unwrapped).decode
    row, column, passenger, goal = decode(int(observation))
    rider = "in the taxi" if passenger == len(_STOPS) else f"at {_STOPS[passenger]}"
    city = "\n".join(_ESCAPE.sub("", _drawn(env)).strip().splitlines()[:7])
    return (
        f"{city}\nThe taxi is in row {row + 1}, column {column + 1}. "
        f"The passenger is {rider} and wants to go to {_STOPS[goal]}."
    )


def _blackjack(env: gymnasium.Env[Any, Any], observation: Any) -> str:
    total, dealer, ace = (int(number) for number in observation)
    usable = "with" if ace else "without"
    return f"Your cards sum to {total}, {usable} a usable ace. The dealer shows {dealer}."


def _drawn(env: gymnasium.Env[Any, Any]) -> str:
    return str(env.render())


GAMES: Mapping[str, Game] = {
    "FrozenLake-v1": Game(
        rules=(
            "You cross a frozen lake from S to G. F is ice that bears you, H a hole that does not."
        ),
        moves=("left", "down", "right", "up"),
        show=_lake,
        difficulties=(1, 5),
        setting=_random_map,
    ),
    "Taxi-v4": Game(
        rules=(
            "You drive a taxi: pick the passenger up, and drop them off where they want to go. "
            "The stops are R (row 1, column 1), G (row 1, column 5), Y (row 5, column 1) and "
            "B (row 5, column 4); | is a wall."
        ),
        moves=("south", "north", "east", "west", "pickup", "dropoff"),
        show=_taxi,
        setting=lambda level, seed: {"render_mode": "ansi"},
    ),
    "Blackjack-v1": Game(
        rules="You play blackjack: come nearer to 21 than the dealer, and not above it.",
        moves=("stick", "hit"),
        show=_blackjack,
    ),
}
"""CliffWalking has a single start: training would see the test question."""
