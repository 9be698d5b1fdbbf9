"""What one process raises, all raise: nobody waits for a process that has failed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from accelerate import Accelerator

from palestra.stages.gather import gather_groups

WORKER = """
from accelerate import Accelerator
from palestra.errors import EnvironmentFailed
from palestra.stages.gather import gather_groups

accelerator = Accelerator(cpu=True)
rank, gather = accelerator.process_index, gather_groups(accelerator)

try:
    print([g for g in gather(EnvironmentFailed("no luck") if rank == 1 else [])])
except Exception as exc:
    print(f"{type(exc).__name__}: {exc}")
print(gather([]))
"""


def run_two(worker: str) -> list[list[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    world |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", worker],
            env={**os.environ, **world, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        return [process.communicate(timeout=120)[0].splitlines() for process in running]
    finally:
        for process in running:
            process.kill()


@pytest.mark.slow
def test_a_process_that_fails_takes_the_other_with_it_and_both_go_on_to_say_so():
    first, second = run_two(WORKER)
    assert first == [
        "TrainingError: process 1 failed while it rolled out: EnvironmentFailed: no luck",
        "[]",
    ]
    assert second == ["EnvironmentFailed: no luck", "[]"]


def test_a_process_that_is_alone_raises_its_own_error():
    gather = gather_groups(Accelerator(cpu=True))
    assert gather([]) == []
    with pytest.raises(ValueError, match="no luck"):
        gather(ValueError("no luck"))
