"""How a step's time grows with its rollouts, and how much of it neither generates nor learns.

    python tests/benchmarks/growth.py [--rollouts 8 32 128 512] [--steps 4] [--model tiny]
        [--output DIR]

One process a size, r1-tiny's R1-Zero stage with groups of 8. Prints medians and the straight line
through them; asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

GROUP = 8


def rows_of(folder: Path, rollouts: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run so many rollouts a step, and return the metrics of every step but the first."""
    sets = {
        "stages.zero.steps": options.steps + 1,
        "stages.zero.prompts_per_step": rollouts // GROUP,
        "stages.zero.group_size": GROUP,
        "stages.zero.save_steps": options.steps + 1,
        "stages.zero.eval": "null",
        "eval.questions": 1,
        "model": options.model,
    }
    command = [sys.executable, "-m", "palestra.cli.main", "run", "r1-tiny", "--only", "zero"]
    command += ["--output", str(folder)]
    command += [part for key, value in sets.items() for part in ("--set", f"{key}={value}")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (place,) = folder.glob("stages/*-zero/metrics.jsonl")
    return [json.loads(line) for line in place.read_text().splitlines()][1:]


def shares(row: dict[str, Any]) -> tuple[float, float, float, float]:
    """Return the seconds of a step that generate, that learn, that do neither, and all."""
    generate = row["seconds/generate"]
    learn = row["seconds/backward"] + row["seconds/logprobs"]
    return generate, learn, row["seconds"] - generate - learn, row["seconds"]


def main() -> None:
    """Run every size, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, nargs="+", default=[8, 32, 128, 512])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--output", type=Path, default=Path(tempfile.mkdtemp()))
    options = parser.parse_args()
    table = Table("rollouts", "generate s", "learn s", "neither", "s a step", "ms a rollout")
    points: list[tuple[int, float]] = []
    for rollouts in options.rollouts:
        found = [shares(r) for r in rows_of(options.output / str(rollouts), rollouts, options)]
        generate, learn, neither, whole = (statistics.median(x) for x in zip(*found, strict=True))
        points.append((rollouts, whole))
        table.add_row(
            str(rollouts),
            f"{generate:.2f}",
            f"{learn:.2f}",
            f"{neither:.2f} ({neither / whole:.0%})",
            f"{whole:.2f}",
            f"{1000 * whole / rollouts:.1f}",
        )
    console = Console()
    console.print(table)
    if len(points) > 1:
        slope, start = statistics.linear_regression(*zip(*points, strict=True))
        console.print(f"a step takes {start:.2f} s and {1000 * slope:.1f} ms a rollout")


if __name__ == "__main__":
    main()
