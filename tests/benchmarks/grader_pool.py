"""What hangs and crashes cost: 10,000 gradings in workers, with 1% of each and without, A B A B.

    python tests/benchmarks/grader_pool.py [--gradings 10000] [--rounds 3]

Every verdict is compared with what it must be, and no process may be left at the end.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from palestra.grading.isolation import close_workers, open_env
from palestra.grading.pool import WORKERS
from palestra.plugins.registry import get_registry

ENVIRONMENT = """
import os, time
from palestra import Task, single_turn

def grade(task, completion):
    if completion == "hang": time.sleep(1000)
    if completion == "crash": os._exit(1)
    until = time.perf_counter() + {work_s}
    while time.perf_counter() < until: pass
    return float(completion == task.reference)

@single_turn("bench/Add-v1", grade=grade)
def add(rng, difficulty):
    a, b = rng.integers(10**6, size=2)
    return Task(prompt=f"What is {{a}}+{{b}}?", reference=str(a + b))

add.step_timeout_s = {deadline_s}
"""
WORK_S, DEADLINE_S = 0.01, 0.1
EXPECTED = {"hang": "timeout", "crash": "error"}


def grade_all(count: int, failing: bool) -> float:
    """Grade `count` completions, check every verdict, and return the seconds."""
    registry = get_registry()

    def one(number: int) -> str | None:
        env = open_env(registry, "bench/Add-v1", {})
        env.reset(seed=number)
        assert env.task is not None
        right = number % 2 == 0
        completion = str(env.task.reference) if right else "no"
        if failing and number % 100 in (7, 57):
            completion = "hang" if number % 100 == 7 else "crash"
        _, reward, _, _, info = env.step(completion)
        if (status := EXPECTED.get(completion)) is not None:
            return None if info["reward_status"] == status else f"{number}: {info}"
        good = info["reward_status"] == "ok" and reward == float(right)
        return None if good else f"{number}: {reward} {info}"

    started = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        wrong = [found for found in pool.map(one, range(count)) if found]
    assert not wrong, wrong[:3]
    return time.perf_counter() - started


def processes_left() -> int:
    """Count the workers and fork servers of this process."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True)
    own = str(os.getpid())
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    return sum(1 for _, parent, args in rows if parent == own and "palestra.grading" in args)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gradings", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.py"
        file.write_text(ENVIRONMENT.format(work_s=WORK_S, deadline_s=DEADLINE_S))
        get_registry().add_local(file)
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(given.rounds):
            for failing in (False, True):
                times[failing].append(grade_all(given.gradings, failing))
    close_workers()
    rates = {failing: given.gradings / statistics.median(t) for failing, t in times.items()}
    print(f"{given.gradings} gradings of {WORK_S * 1e3:g} ms, deadline {DEADLINE_S:g} s, ", end="")
    print(f"{WORKERS} workers; none lost, none wrong; processes left: {processes_left()}")
    print(f"{'':24}{'a second':>10}")
    print(f"{'no failures':24}{rates[False]:>10.0f}")
    print(f"{'1% hang, 1% crash':24}{rates[True]:>10.0f}{rates[True] / rates[False]:>8.0%}")


if __name__ == "__main__":
    main()
