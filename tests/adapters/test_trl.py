"""Palestra's environments in TRL's own trainer, and as plain Gymnasium environments."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from palestra.envs.env import SingleTurnEnv
from palestra.envs.task import Task
from palestra.errors import ConfigError
from palestra.plugins.registry import get_registry, reset_registry

ROOT = Path(__file__).parents[2]
ENV = "math/Arithmetic-v1"

PLUGIN = """
import os

from palestra import MultiTurnEnv, SingleTurnEnv, Task, Turn, environment


@environment("acme/Fussy-v1")
class Fussy(SingleTurnEnv):
    def sample(self, rng, difficulty):
        return Task(prompt=f"Say {rng.integers(10**6)}.", reference="yes")

    def grade(self, task, completion):
        if "die" in completion:
            os._exit(1)
        if "raise" in completion:
            raise ValueError("no")
        return 1.0 if "yes" in completion else 0.0


@environment("acme/Talk-v1")
class Talk(MultiTurnEnv):
    def sample(self, rng, difficulty):
        return Task(prompt=f"Talk {rng.integers(10**6)}.")

    def respond(self, task, action):
        return Turn(done=True)
"""


def answers(env_id: str, task_ids: list[str]) -> list[str]:
    """Return the right answers, which no dataset has."""
    env = get_registry().make_env(env_id)
    found = []
    for task_id in task_ids:
        env.reset(options={"task_id": task_id})
        assert env.task is not None
        found.append(str(env.reference_completion(env.task)))
    return found


@pytest.fixture
def trl_side() -> Any:
    pytest.importorskip("datasets", reason="pip install 'palestra[adapters]'")
    from palestra.integrations import trl

    return trl


@pytest.fixture
def acme(tmp_path: Path) -> Any:
    file = tmp_path / "acme_env.py"
    file.write_text(PLUGIN)
    get_registry().add_local(file)
    yield
    reset_registry()


def test_the_dataset_has_prompts_and_no_references(trl_side: Any) -> None:
    rows = trl_side.dataset(ENV, size=20, difficulty=2)
    assert rows.column_names == ["prompt", "env_id", "task_id"]
    assert len(set(rows["task_id"])) == len({row[0]["content"] for row in rows["prompt"]}) == 20
    assert rows["prompt"][0][0]["role"] == "user"
    assert rows.to_list() == trl_side.dataset(ENV, size=20, difficulty=2).to_list()
    other = trl_side.dataset(ENV, split="test", size=20, difficulty=2)
    assert not {str(p) for p in rows["prompt"]} & {str(p) for p in other["prompt"]}


def test_prompts_are_text_where_a_renderer_is_given(trl_side: Any) -> None:
    rows = trl_side.dataset(ENV, size=3, render=lambda messages: f"Q: {messages[-1]['content']} A:")
    assert all(prompt.startswith("Q: ") and prompt.endswith(" A:") for prompt in rows["prompt"])


def test_rewards_are_the_graders_for_text_and_conversations(trl_side: Any) -> None:
    rows = trl_side.dataset(ENV, size=6)
    reward = trl_side.reward_function(ENV, rewards={"accuracy": 1.0, "format": 0.5})
    right = answers(ENV, rows["task_id"])
    texts = [*right[:3], "<answer>", "", "42"]
    columns = {name: list(rows[name]) for name in ("env_id", "task_id")}
    assert reward(rows["prompt"], texts, **columns) == [1.5, 1.5, 1.5, 0.0, 0.0, 0.0]
    talks = [[{"role": "assistant", "content": text}] for text in texts]
    assert reward(rows["prompt"], talks, **columns) == [1.5, 1.5, 1.5, 0.0, 0.0, 0.0]
    assert reward.__name__ == ENV


def test_a_prefill_and_parsed_thoughts_belong_to_the_answer(trl_side: Any) -> None:
    rows = trl_side.dataset(ENV, size=1)
    columns = {name: list(rows[name]) for name in ("env_id", "task_id")}
    (right,) = answers(ENV, rows["task_id"])
    thoughts, answer = re.fullmatch(r"<think>(.*)</think>\n?(.*)", right, re.DOTALL).groups()
    prefilled = trl_side.reward_function(ENV, rewards={"format": 1.0}, prefill="<think>")
    assert prefilled(rows["prompt"], [right.removeprefix("<think>")], **columns) == [1.0]
    plain = trl_side.reward_function(ENV, rewards={"format": 1.0})
    parsed = {"role": "assistant", "reasoning_content": thoughts.strip(), "content": answer}
    assert plain(rows["prompt"], [[parsed]], **columns) == [1.0]


def test_a_failed_grader_is_none_and_no_zero(trl_side: Any, acme: None) -> None:
    rows = trl_side.dataset("acme/Fussy-v1", size=4)
    reward = trl_side.reward_function("acme/Fussy-v1")
    columns = {name: list(rows[name]) for name in ("env_id", "task_id")}
    said = ["yes", "raise", "die", "no"]
    assert reward(rows["prompt"], said, **columns) == [1.0, None, None, 0.0]


def test_rows_of_another_environment_are_none(trl_side: Any) -> None:
    from datasets import concatenate_datasets

    both = concatenate_datasets([trl_side.dataset(e, size=2) for e in (ENV, "logic/Ordering-v1")])
    columns = {name: list(both[name]) for name in ("env_id", "task_id")}
    rewards = [
        trl_side.reward_function(e)(both["prompt"], ["x"] * 4, **columns)
        for e in (ENV, "logic/Ordering-v1")
    ]
    assert rewards == [[0.0, 0.0, None, None], [None, None, 0.0, 0.0]]


def test_users_mistakes_are_one_line(trl_side: Any, acme: None) -> None:
    with pytest.raises(ConfigError, match=r"its tasks are drawn for ever; say how many"):
        trl_side.dataset(ENV)
    with pytest.raises(ConfigError, match=r"acme/Talk-v1 takes up to 8 turns"):
        trl_side.reward_function("acme/Talk-v1")
    with pytest.raises(ConfigError, match=r"no column 'task_id'"):
        trl_side.reward_function(ENV)([[]], ["x"])
    rows = trl_side.dataset(ENV, size=1)
    columns = {name: list(rows[name]) for name in ("env_id", "task_id")}
    with pytest.raises(ConfigError, match=r"Did you mean 'accuracy'"):
        trl_side.reward_function(ENV, rewards={"acuracy": 1.0})(rows["prompt"], ["x"], **columns)


@pytest.mark.slow
def test_the_example_trains_two_steps_with_trl(tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="pip install 'palestra[adapters]'")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "train_with_trl.py"), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    steps = re.findall(r"^step (\d): reward ([\d.]+), loss (-?[\d.]+)$", done.stdout, re.MULTILINE)
    assert [step for step, _, _ in steps] == ["1", "2"]
    assert all(0 <= float(reward) <= 1.1 for _, reward, _ in steps)
    assert any(float(loss) != 0 for _, _, loss in steps)


# -- as plain Gymnasium environments ---------------------------------------------------------------


def test_an_environment_is_plain_gymnasium() -> None:
    env = gymnasium.make(f"palestra.gym:{ENV}")
    prompt, info = env.reset(seed=3)
    assert prompt in env.observation_space
    right = answers(ENV, [info["task_id"]])[0]
    assert env.step(right)[1:4] == (1.0, True, False)


def test_a_vector_of_environments_steps_with_its_autoreset() -> None:
    envs = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.make(f"palestra.gym:{ENV}") for _ in range(3)]
    )
    prompts, infos = envs.reset(seed=[1, 2, 3])
    right = answers(ENV, list(infos["task_id"]))
    _, rewards, terminated, truncated, _ = envs.step((right[0], "no", right[2]))
    assert rewards.tolist() == [1.0, 0.0, 1.0]
    assert terminated.all()
    assert not truncated.any()
    again, *_ = envs.step(("", "", ""))
    assert all(new and new != old for new, old in zip(again, prompts, strict=True))


def test_a_gymnasium_wrapper_wraps_it() -> None:
    class Sure(SingleTurnEnv):
        def sample(self, rng: Any, difficulty: int) -> Task:
            return Task(prompt=f"Say {rng.integers(1000)}.", reference="yes")

    env = gymnasium.wrappers.TransformReward(Sure(), lambda reward: float(reward) - 0.5)
    env.reset(seed=1)
    assert env.step("<answer>yes</answer>")[1] == 0.5


def test_reward_models_with_options_are_told_of_tokens_and_groups(trl_side: Any) -> None:
    rows = trl_side.dataset(ENV, size=2)
    ids = [rows["task_id"][i] for i in (0, 0, 0, 1)]
    right, *_ = answers(ENV, ids)
    said = [right, right, "<answer>no</answer>", "<answer>1</answer>"]
    grade = trl_side.reward_function(
        ENV,
        rewards={"short": 1.0, "self_consistency": 10.0},
        reward_models={"short": {"type": "overlong", "max_length": 10, "buffer": 10}},
    )
    paid = grade(
        ["?"] * 4,
        said,
        completion_ids=[[1] * n for n in (0, 5, 10, 20)],
        task_id=ids,
        env_id=[ENV] * 4,
    )
    assert paid == [10.0, 9.5, -1.0, 9.0]
