"""A run by several processes, as a launcher starts them: what the tests of launches share."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ZERO_2 = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}
SPREAD = {
    "ddp": {},
    "fsdp2": {
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": "2",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    },
    "zero2": ZERO_2,
    "zero3": ZERO_2 | {"ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"},
}
REFUSED = {"fsdp1": {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1"}, "absent": ZERO_2}


def start_all(
    folder: Path, processes: int, recipe: Sequence[str], spread: str = "ddp"
) -> list[subprocess.Popen[str]]:
    """Start a run of a recipe by so many processes."""
    if spread.startswith("zero"):
        pytest.importorskip("deepspeed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    world |= {"ACCELERATE_USE_CPU": "true", **(SPREAD | REFUSED)[spread]}
    command = [sys.executable, "-m", "palestra.cli.main", "run", *recipe, "--output", str(folder)]
    running = []
    for rank in range(processes):
        own = {**world, "RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {}
        env = {**os.environ, "OMP_NUM_THREADS": "1", **own}
        running.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
    return running


def finish(running: Sequence[subprocess.Popen[str]]) -> None:
    """Wait for all processes, and require that they end well."""
    try:
        for process in running:
            output, err = process.communicate(timeout=300)
            assert process.returncode == 0, err or output
    finally:
        for process in running:
            process.kill()
