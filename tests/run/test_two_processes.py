"""A recipe under two processes gives what it gives under one; shipped launch configurations load."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from accelerate.commands.config.config_args import load_config_from_file

import palestra
from palestra.stages.measures import TIMES
from tests.made_preferences import write_preferences
from tests.run.conftest import CUT

LAUNCH = Path(palestra.__file__).parent / "launch"


ZERO = (str(CUT), "--until", "examples", "--set", "stages.zero.steps=4")


def run(
    folder: Path, processes: int, recipe: Sequence[str] = ZERO, last: str = "02-zero"
) -> dict[str, list[dict[str, Any]]]:
    """Run a recipe (the cut one's first stages), and return the rows of its stage `last`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "palestra.cli.main", "run", *recipe, "--output", str(folder)]
    running = []
    for rank in range(processes):
        own = {**world, "RANK": str(rank), "LOCAL_RANK": str(rank), "ACCELERATE_USE_CPU": "true"}
        env = {**os.environ, "OMP_NUM_THREADS": "1", **(own if processes > 1 else {})}
        running.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
    try:
        for process in running:
            _, err = process.communicate(timeout=300)
            assert process.returncode == 0, err
    finally:
        for process in running:
            process.kill()
    stage = folder / "stages" / last
    return {
        name: [json.loads(line) for line in (stage / name).read_text().splitlines()]
        for name in ("metrics.jsonl", "evals.jsonl")
        if (stage / name).is_file()
    }


def numbers(value: Any, path: str = "") -> dict[str, float]:
    """Return every number of nested data by its path, but for times."""
    if isinstance(value, dict):
        parts = [numbers(v, f"{path}/{k}") for k, v in value.items() if not k.startswith(TIMES)]
        return {k: v for part in parts for k, v in part.items()}
    if isinstance(value, list):
        return {
            k: v for i, each in enumerate(value) for k, v in numbers(each, f"{path}/{i}").items()
        }
    return {path: float(value)} if isinstance(value, int | float) else {}


def assert_alike(one: dict[str, Any], two: dict[str, Any]) -> None:
    left, right = numbers(one), numbers(two)
    assert left.keys() == right.keys()
    wrong = {k: (v, right[k]) for k, v in left.items() if abs(v - right[k]) > 1e-5 * (1 + abs(v))}
    assert not wrong


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path: Path):
    one, two = run(tmp_path / "one", 1), run(tmp_path / "two", 2)
    assert len(one["metrics.jsonl"]) == 4
    assert_alike(one, two)


REWARDED = """\
model: tiny
engine: {threads: 1, token_budget: 2048}
reward_models: {helpful: {type: neural, from: preferences}, near: {type: length, target: 20}}
mixtures: {general: {sources: [{env: general/Instructions-v1, rewards: {helpful: 1.0}}]}}
stages:
  preferences:
    type: reward_model
    init_from: base
    data: [{file: prefs.jsonl}]
    steps: 3
    batch_size: 31
    held_out: 0.2
    optim: {learning_rate: 1.0e-3}
  general:
    type: rl
    init_from: base
    mixture: general
    steps: 2
    prompts_per_step: 4
    group_size: 4
    sampling: {max_tokens: 32}
    optim: {learning_rate: 1.0e-4}
    watch: {gold: near}
"""


@pytest.mark.slow
def test_two_processes_train_a_reward_model_and_watch_it_as_one_does(tmp_path: Path):
    write_preferences(tmp_path / "prefs.jsonl", tasks=100)
    (tmp_path / "r.yaml").write_text(REWARDED)
    recipe = (str(tmp_path / "r.yaml"),)
    one, two = (run(tmp_path / f"by-{n}", n, recipe, "02-general") for n in (1, 2))
    assert_alike(one, two)
    trained = [tmp_path / f"by-{n}/stages/01-preferences/metrics.jsonl" for n in (1, 2)]
    one, two = ({"rows": [*map(json.loads, f.read_text().splitlines())]} for f in trained)
    assert len(one["rows"]) == 3
    assert_alike(one, two)


@pytest.mark.parametrize("file", sorted(LAUNCH.glob("*.yaml")), ids=lambda file: file.stem)
def test_accelerate_loads_every_configuration_that_ships(file: Path):
    config = load_config_from_file(str(file))
    assert config.num_processes >= 1
    assert "tested" in file.read_text().splitlines()[0]
