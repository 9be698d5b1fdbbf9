"""A recipe under two processes gives what it gives under one; shipped launch configurations load."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from accelerate.commands.config.config_args import load_config_from_file

import palestra
from palestra.stages.measures import TIMES
from tests.run.conftest import CUT

LAUNCH = Path(palestra.__file__).parent / "launch"


def run(folder: Path, processes: int) -> dict[str, list[dict[str, Any]]]:
    """Run the cut recipe's first stages, and return their rows."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "palestra.cli.main", "run", str(CUT), "--until", "examples"]
    command += ["--set", "stages.zero.steps=4", "--output", str(folder)]
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
    stage = folder / "stages" / "02-zero"
    return {
        name: [json.loads(line) for line in (stage / name).read_text().splitlines()]
        for name in ("metrics.jsonl", "evals.jsonl")
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


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path: Path):
    one, two = run(tmp_path / "one", 1), run(tmp_path / "two", 2)
    left, right = numbers(one), numbers(two)
    assert left.keys() == right.keys()
    assert len(one["metrics.jsonl"]) == 4
    wrong = {k: (v, right[k]) for k, v in left.items() if abs(v - right[k]) > 1e-5 * (1 + abs(v))}
    assert not wrong


@pytest.mark.parametrize("file", sorted(LAUNCH.glob("*.yaml")), ids=lambda file: file.stem)
def test_accelerate_loads_every_configuration_that_ships(file: Path):
    config = load_config_from_file(str(file))
    assert config.num_processes >= 1
    assert "tested" in file.read_text().splitlines()[0]
