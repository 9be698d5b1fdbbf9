"""Environments of the real verifiers library through the adapter."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from palestra.errors import ConfigError
from palestra.grading.isolation import IsolatedEnv, close_workers, open_env
from palestra.plugins.registry import get_registry
from palestra.testing import check_environment

pytest.importorskip("verifiers.v1", reason="pip install 'palestra[adapters]'")

ID = "verifiers/Env-v1"

SUMS = """
import verifiers.v1 as vf


class SumData(vf.TaskData):
    answer: str


class SumConfig(vf.TasksetConfig):
    rows: int = 300


class SumTask(vf.Task[SumData]):
    @vf.reward
    async def correct(self, task, trace):
        return float(trace.last_reply == task.answer)

    @vf.reward(weight=0.0)
    async def brief(self, trace):
        return float(len(trace.last_reply) < 10)

    @vf.metric
    async def thought(self, trace):
        return float(trace.assistant_messages[-1].reasoning_content == "hm")


class SumTaskset(vf.Taskset[SumTask, SumConfig]):
    def load(self):
        for n in range(self.config.rows):
            data = SumData(
                prompt=f"What is {n} + {7 * n}?", system_prompt="Be brief.", answer=str(8 * n)
            )
            yield SumTask(data, self.config.task)


__all__ = ["SumTaskset"]
"""

GUESS = """
import verifiers.v1 as vf


class GuessData(vf.TaskData):
    secret: int


class GuessTask(vf.Task[GuessData]):
    @vf.reward
    async def found(self, task, trace):
        return float(trace.last_reply == str(task.secret))


class GuessConfig(vf.EnvConfig):
    player: vf.AgentConfig = vf.AgentConfig()


class GuessEnv(vf.Env[GuessConfig]):
    async def run(self, task, agents):
        async with agents.player.interaction(task) as interaction:
            segment = await interaction.turn()
            while not segment.terminated and int(segment.last_reply) != task.data.secret:
                low = int(segment.last_reply) < task.data.secret
                segment = await interaction.turn("higher" if low else "lower")

    async def finalize(self, task, episode):
        for trace in episode.traces:
            trace.record_metric("turns", trace.num_turns)


class GuessTaskset(vf.Taskset[GuessTask, vf.TasksetConfig]):
    INFINITE = True

    def load(self):
        n = 0
        while True:
            prompt = f"Guess number {n}, from 1 to 99."
            yield GuessTask(GuessData(prompt=prompt, secret=n * 37 % 99 + 1), self.config.task)
            n += 1


__all__ = ["GuessTaskset", "GuessEnv"]
"""

TASKSET = """
import verifiers.v1 as vf

{extra}

class Taskset(vf.Taskset[Task, vf.TasksetConfig]):
    def load(self):
        yield Task(vf.TaskData({data}), self.config.task)


__all__ = ["Taskset"{names}]
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of verifiers packages, found by this process and by workers."""
    (tmp_path / "vf_sums.py").write_text(SUMS)
    (tmp_path / "vf_guess.py").write_text(GUESS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def make(id: str, **kwargs: object) -> Any:
    return get_registry().make_env(ID, id=id, **kwargs)


def guess(env: Any, **where: Any) -> tuple[list[str], float, dict[str, Any]]:
    """Play by halving; return what was said, the reward and the last info."""
    said = [env.reset(**where)[0]]
    low, high = 1, 99
    while True:
        middle = (low + high) // 2
        answer, reward, terminated, truncated, info = env.step(f"<think>hm</think>{middle}")
        said.append(answer)
        if terminated or truncated:
            return said, reward, info
        low, high = (middle + 1, high) if answer == "higher" else (low, middle - 1)


def test_a_taskset_is_single_turn_and_its_rewards_are_components(packages: Path) -> None:
    env = make("vf-sums")
    prompt, info = env.reset(options={"index": 5})
    assert info["messages"][0] == {"role": "system", "content": "Be brief."}
    right = 8 * int(prompt.split()[2])
    _, reward, terminated, truncated, info = env.step(f"<think>hm</think>\n{right}")
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["reward_components"] == {
        "accuracy": 1.0,
        "correct": 1.0,
        "brief": 1.0,
        "thought": 1.0,
    }
    env.reset(options={"index": 5})
    _, reward, _, _, info = env.step(f"It is {right}, I think.")
    assert reward == 0.0
    assert info["reward_components"]["brief"] == 0.0


def test_every_task_is_of_one_split_and_options_reach_the_package(packages: Path) -> None:
    env = make("vf-sums", rows=120)
    counts = [env.count(split) for split in ("train", "validation", "test")]
    assert sum(counts) == 120
    assert min(counts) > 0
    assert make("vf-sums", limit=7, split="test").count("test") == 7


def test_an_environment_that_holds_a_conversation_is_played_turn_by_turn(packages: Path) -> None:
    env = make("vf-guess", limit=50)
    said, reward, info = guess(env, options={"index": 3})
    assert said[0].startswith("Guess number")
    assert set(said[1:-1]) == {"higher", "lower"} or len(said) < 4
    assert reward == 1.0
    assert info["stop_reason"] == "terminated"
    assert info["reward_components"]["turns"] == len(said) - 1


def test_a_conversation_cut_at_its_last_turn_is_graded_by_upstream(packages: Path) -> None:
    env = make("vf-guess", limit=50, max_turns=3)
    env.reset(options={"index": 3})
    ends = [env.step("0")[2:4] for _ in range(2)]
    _, reward, terminated, truncated, info = env.step("0")
    assert ends == [(False, False)] * 2
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["reward_components"] == {"accuracy": 0.0, "found": 0.0, "turns": 3.0}


def test_conversations_played_by_turns_do_not_mix(packages: Path) -> None:
    alone = [guess(make("vf-guess", limit=50), options={"index": i})[0] for i in range(4)]
    envs = [make("vf-guess", limit=50) for _ in range(4)]
    said = [[env.reset(options={"index": i})[0]] for i, env in enumerate(envs)]
    bounds = [(1, 99)] * 4
    while any(env.task is not None for env in envs):
        for i, env in enumerate(envs):
            if env.task is None:
                continue
            low, high = bounds[i]
            middle = (low + high) // 2
            answer = env.step(f"<think>hm</think>{middle}")[0]
            said[i].append(answer)
            bounds[i] = (middle + 1, high) if answer == "higher" else (low, middle - 1)
    assert said == alone


def test_what_upstream_raises_is_no_verdict(packages: Path) -> None:
    env = make("vf-guess", limit=50)
    env.reset(seed=1)
    _, reward, terminated, _, info = env.step("twelve")
    assert terminated
    assert reward == 0.0
    assert info["reward_status"] == "error"
    assert not info["reward_valid"]
    assert "invalid literal for int()" in info["reason"]
    assert guess(env, seed=1)[1] == 1.0


def test_a_reward_out_of_the_range_is_no_verdict_until_its_range_is_given(packages: Path) -> None:
    source = SUMS.replace("return float(trace.last_reply ==", "return 4.0 * (trace.last_reply ==")
    (packages / "vf_rich.py").write_text(source)
    answers = []
    for kwargs in ({}, {"reward_range": [0, 4]}):
        env = make("vf-rich", **kwargs)
        prompt, _ = env.reset(options={"index": 2})
        answers.append(env.step(str(8 * int(prompt.split()[2]))))
    assert answers[0][4]["reward_status"] == "error"
    assert "reward_range" in answers[0][4]["reason"]
    assert answers[1][1] == 1.0
    assert answers[1][4]["reward_components"]["correct"] == 4.0


REWARD = "    @vf.reward\n    async def right(self{}):\n        return 1.0\n"
PLAIN = "class Task(vf.Task):\n" + REWARD.format("")


@pytest.mark.parametrize(
    ("extra", "data", "names", "reason"),
    [
        (PLAIN + "    NEEDS_CONTAINER = True\n", "prompt='?'", "", "a container"),
        (PLAIN, "prompt='?', image='python:3.11'", "", "a container"),
        ("class Task(vf.Task):\n    pass\n", "prompt='?'", "", "its tasks have none"),
        (
            "class Task(vf.Task):\n" + REWARD.format(", runtime"),
            "prompt='?'",
            "",
            r"a box to run programs in \(right\)",
        ),
        (
            "class Tools(vf.Toolset[vf.ToolsetConfig, vf.State]):\n    pass\n\n"
            + PLAIN
            + "    @classmethod\n    def toolsets(cls, config):\n"
            "        return [Tools(vf.ToolsetConfig())]\n",
            "prompt='?'",
            "",
            r"tool servers \(Tools\)",
        ),
        (
            PLAIN + "    @vf.stop\n    async def enough(self, trace: vf.Trace) -> bool:\n"
            "        return True\n",
            "prompt='?'",
            "",
            r"hooks into the calls of a model \(enough\)",
        ),
        (
            "class Config(vf.EnvConfig):\n    a: vf.AgentConfig = vf.AgentConfig()\n"
            "    b: vf.AgentConfig = vf.AgentConfig()\n\n\n"
            "class Env(vf.Env[Config]):\n    async def run(self, task, agents):\n"
            "        pass\n\n\n" + PLAIN,
            "prompt='?'",
            ", 'Env'",
            r"it has 2 agents \(a, b\)",
        ),
        (PLAIN, "", "", "no prompt that ends with the user's turn"),
    ],
    ids=["container", "image", "no-reward", "box", "tools", "stop", "agents", "no-prompt"],
)
def test_what_needs_more_than_a_policy_is_refused_with_the_reason(
    packages: Path, extra: str, data: str, names: str, reason: str, request: pytest.FixtureRequest
) -> None:
    name = "vf_" + request.node.callspec.id.replace("-", "_")
    (packages / f"{name}.py").write_text(TASKSET.format(extra=extra, data=data, names=names))
    with pytest.raises(ConfigError, match=reason) as caught:
        make(name)
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({"id": "vf-none"}, "no verifiers environment 'vf-none' is installed"),
        ({"id": "vf-sums", "rowz": 3}, "option 'rowz': .* It takes: .*rows"),
        ({"id": "vf-sums", "rows": "many"}, "option 'rows': .*valid integer"),
        ({"id": "vf-sums", "split": "tset"}, "Did you mean 'test'"),
        ({"id": "vf-sums", "reward_range": [1, 0]}, "reward_range is lowest and highest"),
        ({"id": "vf-sums", "rows": 0}, "it has no tasks"),
        ({"id": "vf-guess"}, "its tasks never end; say how many to take: limit"),
        ({"id": "json"}, "defines no `__all__`|exports no Taskset"),
    ],
)
def test_a_users_mistake_is_one_line(packages: Path, kwargs: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        make(**kwargs)
    assert "\n" not in str(caught.value)


def test_an_environment_runs_in_a_process_of_its_own(packages: Path) -> None:
    try:
        env = open_env(get_registry(), ID, {"id": "vf-guess", "limit": 50})
        assert isinstance(env, IsolatedEnv)
        assert guess(env, options={"index": 3})[1] == 1.0
    finally:
        close_workers()


def test_hangman_that_ships_with_verifiers_is_played_and_won(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upstream's own package `textarena`, whose words come from a small list instead of nltk's."""
    nltk = pytest.importorskip("nltk")
    pytest.importorskip("textarena")
    words = ["planet", "garden", "window", "orange", "silver", "bridge"]
    folder = tmp_path / "corpora" / "words"
    folder.mkdir(parents=True)
    for name in ("en", "en-basic"):
        (folder / name).write_text("\n".join(words))
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    monkeypatch.setattr(nltk, "download", lambda *args, **kwargs: True)
    env = make("textarena", game="Hangman-v0", limit=6, max_turns=30, split="train")
    won = 0
    for index in range(3):
        env.reset(options={"index": index})
        for word in random.Random(index).sample(words, len(words)):
            _, reward, terminated, truncated, info = env.step(f"<think>a</think>[{word}]")
            if terminated or truncated:
                break
        assert terminated, info
        assert info["reward_status"] == "ok"
        won += reward == 1.0
        assert "game_reward" in info["reward_components"]
    assert won == 3


@pytest.mark.slow
def test_an_environment_of_verifiers_keeps_the_contract(packages: Path) -> None:
    check_environment(ID, {"id": "vf-sums", "rows": 2_000})
