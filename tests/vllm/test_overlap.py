"""Generating beside the trainer, on the real thing: whose weights each token is of, and at what pace."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from palestra.envs import MultiTurnEnv, Score, Task, Turn
from palestra.mixture.config import SourceConfig
from palestra.mixture.draw import Mixture
from palestra.mixture.sources import Source
from palestra.plugins.kinds import Kind
from palestra.plugins.registry import Registered, Registry
from palestra.plugins.specs import EnvironmentSpec
from palestra.rollout.collect import collect
from palestra.rollout.collection import Collection
from palestra.rollout.samplers.base import Sampler, SamplingParams
from palestra.rollout.samplers.vllm import VLLMSampler
from palestra.rollout.samplers.vllm_server import VLLMServerSampler
from palestra.stages.policy import load_model
from palestra.tiny.paths import base_dir
from tests.vllm.conftest import Server, context
from tests.vllm.test_same_recipe import metrics, prompts, run, sampler, start

AHEAD = ("--only", "zero", "--set", "stages.zero.staleness=1")


def versions(folder: Path) -> list[set[int]]:
    import pyarrow.parquet as pq

    files = sorted((folder / "stages/01-zero/rollouts").glob("step-*.parquet"))
    return [{v for row in pq.read_table(f).to_pylist() for v in row["versions"]} for f in files]


@pytest.mark.parametrize("name", ["vllm", "vllm-server"])
def test_each_rollout_is_of_the_weights_it_may_be_of(
    servers: list[Server], tmp_path: Path, name: str
) -> None:
    code, err = run(tmp_path / "run", *sampler(name, servers), *AHEAD)
    assert code == 0, err[-3000:]
    rows = metrics(tmp_path / "run")
    assert versions(tmp_path / "run") == [{0}, {0}, {1}, {2}]
    assert [row["lag"] for row in rows] == [0, 1, 1, 1]
    for row in rows:
        assert 0 < row["sampler_gap"] < 1e-3
        assert row["drift"] < 0.2
        phases = sum(v for k, v in row.items() if k.startswith("seconds/"))
        assert phases == pytest.approx(row["seconds"], rel=1e-6)
    assert rows[-1]["drift"] > 10 * rows[-1]["sampler_gap"]


def test_killed_while_it_generates_ahead_it_goes_on_with_the_same_tasks(
    servers: list[Server], tmp_path: Path
) -> None:
    options = (*sampler("vllm-server", servers), *AHEAD)
    code, err = run(tmp_path / "whole", *options)
    assert code == 0, err[-3000:]
    folder = tmp_path / "run"
    process = start(folder, *options)
    deadline = time.monotonic() + 120
    while not (folder / "stages/01-zero/checkpoints/step-000002").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    state = folder / "stages/01-zero/checkpoints/step-000002/state.json"
    assert [w["step"] for w in json.loads(state.read_text())["state"]["mixture"]["ahead"]] == [3]
    code, err = run(folder, *options, "--resume")
    assert code == 0, err[-3000:]
    assert [row["lag"] for row in metrics(folder)] == [0, 1, 1, 1]
    assert versions(folder) == [{0}, {0}, {1}, {2}]
    assert prompts(folder) == prompts(tmp_path / "whole")


class Echo(MultiTurnEnv):
    """Asks for more, four times."""

    env_id = "test/Echo-v1"
    max_turns = 4

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        return Task(prompt=f"{rng.integers(1000)}", reference="")

    def begin(self, task: Task) -> str:
        return f"{task.prompt}?"

    def respond(self, task: Task, action: str) -> Turn:
        done = self._turns_taken == 4
        score = Score(value=1.0, components={"turns": 1.0})
        return Turn(observation="1+1?", score=score, done=done)


class OnlyEcho(Registry):
    def names(self, kind: Kind) -> list[str]:
        return []

    def find(self, kind: Kind, name: str) -> Registered:
        spec = EnvironmentSpec(name=name, entry_point="", isolation="inline")
        return Registered(spec=spec, distribution="test", plugin="test")

    def make_env(self, env_id: str, **kwargs: object) -> Echo:
        return Echo()


@pytest.fixture(params=["vllm", "vllm-server"])
def live(request: Any, servers: list[Server], model: Any) -> Iterator[Sampler]:
    if request.param == "vllm":
        made: Sampler = VLLMSampler(context(model))
    else:
        made = VLLMServerSampler(context(model), urls=[s.url for s in servers])
    made.update_weights(iter(model.state_dict().items()), version=0)
    yield made
    made.close()


def test_conversations_at_their_own_pace_are_token_exact(live: Sampler) -> None:
    loaded = load_model(str(base_dir()), "chat", "", torch.device("cpu"))
    config = SourceConfig(env=Echo.env_id, rewards={"turns": 1.0})
    collected = collect(
        Mixture([Source(config, OnlyEcho(installed=False), "m")], 0, "s"),
        live,
        loaded.prompter,
        Collection(params=SamplingParams(max_tokens=20), group_size=4),
        prompts=4,
    )
    for member in (m for g in collected.kept for m in g.members):
        assert member.turns == 4
        assert member.reward == 4.0
        with torch.inference_mode():
            every = loaded.model(torch.tensor([member.token_ids])).logits[0].log_softmax(-1)
        own = every[:-1].gather(-1, torch.tensor(member.token_ids)[1:, None])[:, 0].numpy()
        mask = member.loss_mask[1:]
        np.testing.assert_allclose(own[mask], member.sampler_logprobs[1:][mask], atol=5e-4)
