"""Runs on a real GPU, skipped where there is none: what the CPU's tests cannot see.

    python -m pytest tests/gpu

Written without one at hand: the assertions are those of the CPU's tests, the launches the shipped ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import palestra
from palestra.learner.mismatch import LIMITS
from tests.run.conftest import CUT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]
LAUNCH = Path(palestra.__file__).parent / "launch"
SHORT = ("--only", "zero", "--set", "stages.zero.steps=3", "--set", "engine.threads=null")


def run(folder: Path, *arguments: str, launcher: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Run the cut recipe's RL stage, and return its metrics, a row a step."""
    command = [*launcher] if launcher else [sys.executable]
    command += ["-m", "palestra.cli.main", "run", str(CUT), "--output", str(folder)]
    done = subprocess.run([*command, *SHORT, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = (folder / "stages/02-zero/metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_sampler_and_trainer_are_one_policy(precision: str, tmp_path: Path) -> None:
    rows = run(tmp_path / "run", "--set", f"engine.precision={precision}")
    assert len(rows) == 3
    assert all(row["sampler_gap"] <= LIMITS[precision] for row in rows)
    assert all(row["grad_norm"] > 0 for row in rows)


@pytest.mark.skipif(find_spec("liger_kernel") is None, reason="liger-kernel is not installed")
def test_ligers_kernels_learn_what_the_models_own_do(tmp_path: Path) -> None:
    own, fused = run(tmp_path / "own"), run(tmp_path / "fused", "--set", "engine.liger=true")
    assert fused[0]["sampler_gap"] <= LIMITS["fp32"]
    assert fused[0]["grad_norm"] == pytest.approx(own[0]["grad_norm"], rel=1e-2)


@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_vllm_sleeps_beside_the_trainer_and_wakes_with_its_weights(tmp_path: Path) -> None:
    rows = run(tmp_path / "run", "--set", "engine.sampler={type: vllm}")
    assert len(rows) == 3
    assert all(row["sampler_gap"] <= LIMITS["fp32"] for row in rows)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU or none here")
@pytest.mark.parametrize("configuration", ["ddp.yaml", "fsdp2.yaml"])
def test_two_gpus_draw_the_tasks_of_one(configuration: str, tmp_path: Path) -> None:
    one = run(tmp_path / "one")
    launcher = ("accelerate", "launch", "--config_file", str(LAUNCH / configuration))
    two = run(tmp_path / "two", launcher=(*launcher, "--num_processes", "2"))
    assert [row["groups"] for row in two] == [row["groups"] for row in one]
    assert two[0]["loss"] == pytest.approx(one[0]["loss"], abs=0.05)
    assert all(row["sampler_gap"] <= LIMITS["fp32"] for row in two)
