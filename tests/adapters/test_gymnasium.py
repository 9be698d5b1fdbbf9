"""The Gymnasium adapter, on Gymnasium's own games and on an environment over text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from palestra.errors import ConfigError, EnvironmentFailed
from palestra.grading.isolation import close_workers, open_env
from palestra.plugins.registry import Registry, get_registry, reset_registry
from palestra_gymnasium.text import GymnasiumEnv
from palestra_gymnasium.toy_text import ToyTextEnv

RIDDLES = """
import string
import gymnasium

class Riddle(gymnasium.Env):
    def __init__(self, most=9):
        self.observation_space = gymnasium.spaces.Text(200, charset=string.printable)
        self.action_space = gymnasium.spaces.Text(200, charset=string.printable)
        self.most = most

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.secret = int(self.np_random.integers(self.most)) * 1000 + int(
            self.np_random.integers(1000)
        )
        return f"double {self.secret}", {}

    def step(self, action):
        right = action == str(2 * self.secret)
        return "yes" if right else "no", float(right), right, False, {}

gymnasium.register("riddles/Double-v0", entry_point=Riddle)
"""


@pytest.fixture
def riddles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "acme_riddles.py").write_text(RIDDLES)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "acme_riddles:riddles/Double-v0"


def text_env(riddles: str, **kwargs: object) -> GymnasiumEnv:
    env = GymnasiumEnv(riddles, **kwargs)  # type: ignore[arg-type]
    env.env_id = "gymnasium/Env-v1"
    return env


def test_a_text_environment_of_a_module_is_played_turn_by_turn(riddles: str) -> None:
    env = text_env(riddles, max_turns=3)
    prompt, info = env.reset(seed=4)
    assert info["split"] == "train"
    assert env.step("no idea")[:4] == ("no", 0.0, False, False)
    secret = int(prompt.removeprefix("double "))
    assert env.step(str(2 * secret))[:4] == ("yes", 1.0, True, False)


def test_only_the_limit_of_turns_truncates(riddles: str) -> None:
    env = text_env(riddles, max_turns=2)
    env.reset(seed=4)
    assert env.step("?")[2:4] == (False, False)
    assert env.step("?")[2:4] == (False, True)


def test_a_seed_decides_the_task_and_the_prompt_its_split(riddles: str) -> None:
    one, other = text_env(riddles), text_env(riddles)
    seen = {}
    for split in ("train", "test"):
        options = {"split": split}
        seen[split] = [one.reset(seed=s, options=options)[0] for s in range(30)]
        assert seen[split] == [other.reset(seed=s, options=options)[0] for s in range(30)]
    assert not set(seen["train"]) & set(seen["test"])


def test_arguments_go_to_gymnasium(riddles: str) -> None:
    prompt, _ = text_env(riddles, most=1).reset(seed=1)
    assert int(prompt.removeprefix("double ")) < 1000


@pytest.mark.parametrize(
    ("id_", "error", "words"),
    [
        ("FrozenLak-v1", ConfigError, "Did you mean 'FrozenLake-v1'?"),
        ("no_such_module:Riddle-v0", ConfigError, "no module 'no_such_module': install"),
        ("acme/Nothing-v7", ConfigError, "'package.module:Name-v0'"),
        ("FrozenLake-v1", EnvironmentFailed, "Palestra takes environments over text"),
    ],
)
def test_what_cannot_be_made_says_why(id_: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=r"^[^\n]*$") as caught:
        GymnasiumEnv(id_)
    assert words in str(caught.value)


def test_a_module_that_raises_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EnvironmentFailed, match=r"acme_broken.*ZeroDivisionError"):
        GymnasiumEnv("acme_broken:Riddle-v0")


def test_an_argument_that_the_environment_does_not_take_is_refused(riddles: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be made so.*colour"):
        text_env(riddles, colour="red")


GAMES = ("FrozenLake-v1", "Taxi-v4", "Blackjack-v1")


def game(id_: str, **kwargs: object) -> ToyTextEnv:
    env = ToyTextEnv(id_, **kwargs)  # type: ignore[arg-type]
    env.env_id = "gymnasium/ToyText-v1"
    return env


@pytest.mark.parametrize("id_", GAMES)
def test_a_game_splits_by_what_it_shows(id_: str) -> None:
    env = game(id_)
    seen = {
        split: {env.reset(seed=s, options={"split": split})[0] for s in range(50)}
        for split in ("train", "validation", "test")
    }
    assert all(len(prompts) > 10 for prompts in seen.values())
    assert not seen["train"] & seen["test"]


@pytest.mark.parametrize("id_", GAMES)
def test_an_episode_is_played_again_from_its_seed_and_moves(id_: str) -> None:
    def play() -> list[object]:
        env = game(id_)
        said: list[object] = [env.reset(seed=11)[0]]
        for move in list(env._game.moves) * 2:
            if env.task is not None:
                said.append(env.step(f"<answer>{move}</answer>")[:4])
        return said

    assert play() == play()


def test_what_a_game_says_holds_no_terminal_escapes() -> None:
    assert all("\x1b" not in game(id_).reset(seed=1)[0] for id_ in GAMES)


def test_a_lake_without_slipping_is_crossed_by_a_shortest_path() -> None:
    env = game("FrozenLake-v1", is_slippery=False)
    prompt, _ = env.reset(seed=2, options={"difficulty": 1})
    grid = [line for line in prompt.splitlines() if set(line) <= set("SFHG")]
    assert len(grid) == 4
    paid = [env.step(f"<answer>{move}</answer>") for move in path(grid)]
    assert [step[1] for step in paid] == [0.0] * (len(paid) - 1) + [1.0]
    assert paid[-1][2:4] == (True, False)


def test_a_hole_ends_the_episode_unpaid() -> None:
    env = game("FrozenLake-v1", is_slippery=False)
    for seed in range(100):
        prompt, _ = env.reset(seed=seed, options={"difficulty": 1})
        if "SH" in prompt:
            assert env.step("<answer>right</answer>")[1:4] == (0.0, True, False)
            return
    pytest.fail("no lake with a hole beside the start")


def test_a_turn_without_a_move_leaves_the_game_where_it_is() -> None:
    env = game("Taxi-v4")
    env.reset(seed=1)
    said, reward, terminated, truncated, info = env.step("I drive to the hotel")
    assert "south, north, east, west, pickup, dropoff" in said
    assert (reward, terminated, truncated, info["reward_status"]) == (0, False, False, "unparsable")


def test_the_limit_of_turns_truncates_a_game() -> None:
    env = game("Taxi-v4", max_turns=1)
    env.reset(seed=1)
    assert env.step("<answer>north</answer>")[2:4] == (False, True)


def test_a_game_that_is_not_offered_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'Blackjack-v1'"):
        game("BlackJack-v1")


def path(grid: list[str]) -> list[str]:
    """Return the moves of a shortest path from S to G."""
    ways = {"left": (0, -1), "down": (1, 0), "right": (0, 1), "up": (-1, 0)}
    waiting: list[tuple[tuple[int, int], list[str]]] = [((0, 0), [])]
    seen = {(0, 0)}
    for (row, column), moves in waiting:
        if grid[row][column] == "G":
            return moves
        for name, (down, right) in ways.items():
            there = (row + down, column + right)
            inside = 0 <= there[0] < len(grid) and 0 <= there[1] < len(grid)
            if inside and there not in seen and grid[there[0]][there[1]] != "H":
                seen.add(there)
                waiting.append((there, [*moves, name]))
    raise AssertionError("no path")


@pytest.fixture
def registry() -> Iterator[Registry]:
    reset_registry()
    yield get_registry()
    close_workers()
    reset_registry()


def test_a_game_is_played_in_a_worker_process(registry: Registry) -> None:
    env = open_env(registry, "gymnasium/ToyText-v1", {"id": "FrozenLake-v1", "is_slippery": False})
    assert type(env).__name__ == "IsolatedEnv"
    prompt, _ = env.reset(seed=2, options={"difficulty": 1})
    grid = [line for line in prompt.splitlines() if set(line) <= set("SFHG")]
    assert [env.step(f"<answer>{move}</answer>")[1] for move in path(grid)][-1] == 1.0
