"""A recipe under two processes gives what it gives under one; shipped launch configurations load."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from safetensors.torch import load_file

import palestra
from palestra.stages.measures import TIMES
from tests.launching import SPREAD, finish, start_all
from tests.made_preferences import write_preferences
from tests.run.conftest import CUT

LAUNCH = Path(palestra.__file__).parent / "launch"


ZERO = (str(CUT), "--until", "examples", "--set", "stages.zero.steps=4")


def rows(folder: Path, last: str = "02-zero") -> dict[str, list[dict[str, Any]]]:
    """Return what a stage of a run has measured."""
    stage = folder / "stages" / last
    return {
        name: [json.loads(line) for line in (stage / name).read_text().splitlines()]
        for name in ("metrics.jsonl", "evals.jsonl")
        if (stage / name).is_file()
    }


def run(
    folder: Path,
    processes: int,
    recipe: Sequence[str] = ZERO,
    last: str = "02-zero",
    spread: str = "ddp",
) -> dict[str, list[dict[str, Any]]]:
    """Run a recipe to its end, and return the rows of its stage `last`."""
    finish(start_all(folder, processes, recipe, spread))
    return rows(folder, last)


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


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process measures in the cut recipe."""
    return run(tmp_path_factory.mktemp("alone") / "run", 1)


@pytest.mark.slow
@pytest.mark.parametrize("spread", SPREAD)
def test_two_processes_measure_what_one_does(spread: str, alone: dict[str, Any], tmp_path: Path):
    assert len(alone["metrics.jsonl"]) == 4
    assert_alike(alone, run(tmp_path / "two", 2, spread=spread))


@pytest.mark.slow
@pytest.mark.parametrize(("spread", "again"), [("ddp", 1), ("fsdp2", 1), ("fsdp2", 3)])
def test_a_killed_process_ends_the_others_and_any_number_goes_on(
    spread: str, again: int, alone: dict[str, Any], tmp_path: Path
):
    folder = tmp_path / "run"
    running = start_all(folder, 2, (*ZERO, "--set", "stages.zero.save_steps=1"), spread)
    try:
        saved = folder / "stages/02-zero/checkpoints/step-000002"
        while not saved.is_dir() and running[0].poll() is None:
            time.sleep(0.05)
        running[1].kill()
        died = time.monotonic()
        _, err = running[0].communicate(timeout=60)
        assert time.monotonic() - died < 60
    finally:
        for process in running:
            process.kill()
    assert running[0].returncode == 1
    assert "one of the run's 2 processes is gone" in err
    assert "--resume" in err
    assert "Traceback" not in err
    assert len(rows(folder)["metrics.jsonl"]) < 4
    resumed = (*ZERO, "--set", "stages.zero.save_steps=1", "--resume")
    assert_alike(alone, run(folder, again, resumed, spread="fsdp2"))


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
    optim: {learning_rate: 1.0e-3, eps: 1.0e-4}
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
@pytest.mark.parametrize("spread", SPREAD)
def test_two_processes_train_a_reward_model_and_watch_it_as_one_does(spread: str, tmp_path: Path):
    write_preferences(tmp_path / "prefs.jsonl", tasks=100)
    (tmp_path / "r.yaml").write_text(REWARDED)
    recipe = (str(tmp_path / "r.yaml"),)
    one, two = (run(tmp_path / f"by-{n}", n, recipe, "02-general", spread) for n in (1, 2))
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


SHORT = """\
model: tiny
student: tiny-student
engine: {threads: 1, token_budget: 512}
mixtures: {zero: {sources: [{env: logic/Ordering-v1, difficulty: 1, rewards: {accuracy: 1.0}}]}}
eval: {envs: [{env: logic/Ordering-v1, difficulty: 1}], questions: 6, samples: 2, max_tokens: 32}
stages:
  zero:
    type: rl
    init_from: base
    mixture: zero
    steps: 3
    prompts_per_step: 3
    group_size: 4
    sampling: {max_tokens: 32}
    optimizer: {type: grpo, kl: 0.05}
    reference_every: 2
    optim: {learning_rate: 1.0e-3, eps: 1.0e-4}
  copied:
    type: distill
    init_from: base
    teacher: zero
    logits: {temperature: 2.0}
    data: [{env: general/Instructions-v1, count: 7}]
    steps: 2
    batch_size: 5
    optim: {learning_rate: 1.0e-3, eps: 1.0e-4}
"""
VARIANTS = {
    "a reference, and logits distilled": (),
    "a critic": (
        "--set",
        "stages.zero.optimizer={type: ppo, critic: {from: policy}, kl: 0.05}",
        "--set",
        "stages.zero.reference_every=0",
        "--only",
        "zero",
    ),
    "adapters": ("--set", "engine.lora={rank: 4}", "--set", "stages.zero.reference_every=0"),
    "adapters and a critic": (
        "--set",
        "engine.lora={rank: 4}",
        "--set",
        "stages.zero.optimizer={type: ppo, critic: {from: policy}}",
        "--set",
        "stages.zero.reference_every=0",
        "--only",
        "zero",
    ),
    "checkpointed layers": ("--set", "engine.gradient_checkpointing=true"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "spread"),
    [
        *((variant, "fsdp2") for variant in VARIANTS),
        ("a reference, and logits distilled", "zero2"),
        ("a reference, and logits distilled", "zero3"),
        ("adapters", "zero2"),
        ("checkpointed layers", "zero3"),
    ],
)
def test_sharded_over_two_processes_all_trains_as_on_one(variant: str, spread: str, tmp_path: Path):
    (tmp_path / "r.yaml").write_text(SHORT)
    recipe = (str(tmp_path / "r.yaml"), *VARIANTS[variant])
    one = run(tmp_path / "one", 1, recipe, "01-zero")
    two = run(tmp_path / "two", 2, recipe, "01-zero", spread)
    assert len(one["metrics.jsonl"]) == 3
    assert_alike(one, two)
    if "--only" not in recipe:
        assert_alike(*(rows(tmp_path / name, "02-copied") for name in ("one", "two")))
    weights = [
        load_file(next(p.glob("stages/01-zero/checkpoints/*3/model/*.safetensors")))
        for p in (tmp_path / "one", tmp_path / "two")
    ]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=1e-5, rtol=1e-5)


def refused(running: Sequence[subprocess.Popen[str]], code: int) -> str:
    """Wait for all processes, require that none ends well, and return what the first one says."""
    try:
        said = [process.communicate(timeout=120)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert running[0].returncode == code
    assert all(process.returncode for process in running)
    assert "Traceback" not in said[0]
    return said[0]


@pytest.mark.slow
def test_the_first_version_of_fsdp_is_refused(tmp_path: Path):
    said = refused(start_all(tmp_path / "run", 2, ZERO, "fsdp1"), 2)
    assert "fsdp_version: 2" in said


@pytest.mark.slow
def test_what_deepspeed_cannot_do_is_refused_in_a_line(tmp_path: Path):
    (tmp_path / "r.yaml").write_text(SHORT)
    recipe = (str(tmp_path / "r.yaml"), *VARIANTS["a critic"])
    assert "a critic does not train" in refused(
        start_all(tmp_path / "critic", 2, recipe, "zero2"), 2
    )
    recipe = (str(tmp_path / "r.yaml"), *VARIANTS["adapters"])
    assert "third stage" in refused(start_all(tmp_path / "lora", 2, recipe, "zero3"), 2)
    recipe = (str(tmp_path / "r.yaml"), "--set", "stages.zero.save_steps=1")
    running = start_all(tmp_path / "run", 2, recipe, "zero2")
    while not list(tmp_path.glob("run/stages/01-zero/checkpoints/step-*")):
        assert running[0].poll() is None
        time.sleep(0.05)
    running[1].kill()
    refused(running, 1)
    again = refused(start_all(tmp_path / "run", 2, (*recipe, "--resume"), "zero2"), 1)
    assert "hold weights alone" in again


@pytest.mark.skipif(find_spec("deepspeed") is not None, reason="DeepSpeed is installed")
def test_a_launch_for_deepspeed_without_it_is_one_line(tmp_path: Path):
    running = start_all(tmp_path / "run", 2, ZERO, "absent")
    assert "pip install deepspeed" in refused(running, 2)
