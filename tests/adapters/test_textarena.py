"""TextArena's own games through the adapter: played, won, lost and refused."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import Any

import pytest

from palestra.errors import ConfigError, EnvironmentFailed
from palestra.grading.isolation import IsolatedEnv, open_env
from palestra.plugins.registry import get_registry
from palestra.testing import check_environment

pytest.importorskip("textarena", reason="pip install 'palestra[adapters]'")

ID = "textarena/Game-v1"


def make(game: str, **kwargs: object) -> Any:
    return get_registry().make_env(ID, id=game, **kwargs)


def search(env: Any, **where: Any) -> tuple[float, dict[str, Any]]:
    """Play GuessTheNumber by halving; return the reward and the last info."""
    env.reset(**where)
    low, high = 1, 20
    while True:
        guess = (low + high) // 2
        said, reward, terminated, truncated, info = env.step(f"<think>{low}</think>[{guess}]")
        if terminated or truncated:
            return reward, info
        low, high = (guess + 1, high) if "higher" in said else (low, guess - 1)


def hanoi(disks: int, source: str, target: str, spare: str) -> list[str]:
    if disks == 0:
        return []
    before = hanoi(disks - 1, source, spare, target)
    return [*before, f"[{source} {target}]", *hanoi(disks - 1, spare, target, source)]


@pytest.mark.parametrize("seed", range(8))
def test_a_number_is_found_by_halving(seed: int) -> None:
    reward, info = search(make("GuessTheNumber-v0"), seed=seed)
    assert reward == 1.0
    assert info["reward_components"]["invalid_move"] == 0.0
    assert info["stop_reason"] == "terminated"


def test_the_tower_of_hanoi_is_solved() -> None:
    env = make("TowerOfHanoi-v0")
    env.reset(seed=3)
    for move in hanoi(3, "A", "C", "B"):
        _, reward, terminated, _, _ = env.step(f"<answer>{move}</answer>")
    assert terminated
    assert reward == 1.0


def test_a_game_that_no_seed_changes_is_one_task_of_train() -> None:
    env = make("TowerOfHanoi-v0")
    assert [env.count(split) for split in ("train", "validation", "test")] == [1, 0, 0]
    with pytest.raises(EnvironmentFailed, match="split 'test' holds no task"):
        env.reset(options={"split": "test", "index": 0})


def test_a_game_lost_by_an_invalid_move_pays_nothing_though_upstream_does() -> None:
    env = make("2048-v0-mega-easy")
    env.reset(seed=1)
    said, _, terminated, _, _ = env.step("no move")
    assert not terminated
    assert "invalid move" in said.lower()
    _, reward, terminated, _, info = env.step("no move")
    assert terminated
    assert reward == 0.0
    assert info["reward_components"]["game_reward"] > 0
    assert info["reward_components"]["invalid_move"] == 1.0


def test_an_unfinished_game_is_truncated_and_pays_nothing() -> None:
    env = make("LightsOut-v0", max_turns=3)
    env.reset(seed=1)
    results = [env.step(f"[{row} 0]") for row in range(3)]
    assert [(r[1], r[2], r[3]) for r in results] == [
        (0.0, False, False),
        (0.0, False, False),
        (0.0, False, True),
    ]


@pytest.mark.parametrize("game", ["Sudoku-v0-easy", "FrozenLake-v0-random", "GuessTheNumber-v0"])
def test_the_seed_decides_the_game_in_any_process_and_whatever_else_draws(game: str) -> None:
    program = (
        "import json, random\n"
        "from palestra.plugins.registry import get_registry\n"
        "random.seed()\n"
        f"env = get_registry().make_env({ID!r}, id={game!r})\n"
        "said = [(env.reset(seed=s)[0], env.step('[1 1 1]')[0]) for s in range(3)]\n"
        "print(json.dumps(said))\n"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout.splitlines()[-1]
        for hash_seed in ("0", "1")
    ]
    assert told[0] == told[1]
    assert len({prompt for prompt, _ in json.loads(told[0])}) == 3


def test_two_games_played_by_turns_do_not_share_random_numbers() -> None:
    """2048 draws a new tile at each move, from Python's global generator."""

    def play(env: Any, *others: Any) -> list[str]:
        boards = [env.reset(seed=5)[0]]
        for move in ("[Left]", "[Down]", "[Right]", "[Down]"):
            boards.append(env.step(move)[0])
            for other in others:
                random.random()
                other.reset(seed=len(boards))
        return boards

    alone = play(make("2048-v0-easy"))
    assert play(make("2048-v0-easy"), make("2048-v0-easy"), make("Sudoku-v0-easy")) == alone


def test_playing_leaves_the_global_generators_alone() -> None:
    random.seed(1)
    expected = random.random()
    env = make("2048-v0-easy")
    random.seed(1)
    env.reset(seed=3)
    env.step("[Left]")
    assert random.random() == expected


def test_games_whose_secret_is_hidden_are_numbered_so_that_splits_share_none() -> None:
    env = make("GuessTheNumber-v0")
    prompts = {
        split: {env.reset(options={"split": split, "index": i})[0] for i in range(20)}
        for split in ("train", "test")
    }
    assert len(prompts["train"]) == len(prompts["test"]) == 20
    assert not prompts["train"] & prompts["test"]


@pytest.mark.parametrize(
    ("game", "reason"),
    [
        ("Sudoku-v0-eazy", "Did you mean 'Sudoku-v0-easy'"),
        ("TicTacToe-v0", "several players"),
        ("TwentyQuestions-v0", "language model over the network"),
        ("Countdown-v0", "own code raises at the move ''"),
        ("ThreeCardMonte-v0", "own code raises at the move ''"),
        ("BabyAiText-v0", "No module named 'gym'"),
    ],
)
def test_what_cannot_be_played_is_refused_with_the_reason(game: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        make(game)
    assert "\n" not in str(caught.value)
    assert game in str(caught.value)


def test_a_game_without_its_word_list_says_what_to_download(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    with pytest.raises(ConfigError, match=r"Resource 'words' not found.*Run: nltk.download"):
        make("Hangman-v0")


def test_a_game_runs_in_a_process_of_its_own() -> None:
    env = open_env(get_registry(), ID, {"id": "GuessTheNumber-v0"})
    assert isinstance(env, IsolatedEnv)
    assert search(env, seed=2)[0] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "game", ["GuessTheNumber-v0", "LightsOut-v0", "Sudoku-v0-easy", "Minesweeper-v0-small"]
)
def test_games_keep_the_contract(game: str) -> None:
    check_environment(ID, {"id": game})
