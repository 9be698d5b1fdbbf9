"""How long commands take to start, as multiples of a bare `python -c pass` of the same run.

    python tests/benchmarks/startup.py [--rounds 15]

Rounds go A B C D, A B C D, so that a busy moment of the machine falls on all of them. The bounds
are the project's own; nothing is asserted, because a loaded machine would fail it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

BARE = "python -c pass"
PALESTRA = str(Path(sys.executable).with_name("palestra"))
COMMANDS = {
    BARE: [sys.executable, "-c", "pass"],
    "palestra --help": [PALESTRA, "--help"],
    "palestra envs ls": [PALESTRA, "envs", "ls"],
    "palestra recipes validate r1-tiny": [PALESTRA, "recipes", "validate", "r1-tiny"],
}
BOUNDS = dict(zip(COMMANDS, (1, 15, 25, 50), strict=True))


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for command in COMMANDS.values():  # byte code is compiled, files are in the cache
        seconds(command)
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            taken[name].append(seconds(command))
    bare = statistics.median(taken[BARE])
    print(f"median of {rounds}, Python {sys.version.split()[0]}")
    print(f"{'command':<36}{'ms':>8}{'ratio':>8}{'at most':>9}")
    for name, values in taken.items():
        median = statistics.median(values)
        print(f"{name:<36}{median * 1000:>8.0f}{median / bare:>8.1f}{BOUNDS[name]:>9}")


if __name__ == "__main__":
    main()
