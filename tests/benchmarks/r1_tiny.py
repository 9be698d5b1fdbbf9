"""The numbers that r1-tiny is held to, over several seeds, beside a control with random rewards.

    python tests/benchmarks/r1_tiny.py [--seeds 0 1 2] [--output DIR] [--no-control]

Runs the recipe (or reads the runs that DIR already holds), prints tables, asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from palestra.evaluation.metrics import Measure
from palestra.evaluation.pooling import pooled
from palestra.recipe.config import load_recipe

RANDOM = "{random: 1.0}"
COLUMNS = ("pass@1", "lenient@1", "format", "language_consistency", "mean_length")


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    """Return the results of a run, made now unless its folder is there and done."""
    manifest = folder / "manifest.json"
    if not (manifest.is_file() and json.loads(manifest.read_text())["done"]):
        resume = ["--resume"] if manifest.is_file() else []
        command = [sys.executable, "-m", "palestra.cli.main", "run", "r1-tiny", "--output"]
        subprocess.run([*command, str(folder), *resume, *arguments], check=True)
    return json.loads((folder / "results.json").read_text())


def control(folder: Path, seed: int) -> dict[str, Any]:
    """Run R1-Zero for as many steps with rewards that say nothing."""
    sets = [
        part
        for source in range(len(load_recipe("r1-tiny").mixtures["zero"].sources))
        for part in ("--set", f"mixtures.zero.sources.{source}.rewards={RANDOM}")
    ]
    return run(folder, "--seed", str(seed), "--only", "zero", *sets)


def of(results: dict[str, Any], role: str, key: str, variant: str | None = None) -> Measure | None:
    """Return a measure of the stage with `role`, pooled over the reasoning environments."""
    for stage in results["stages"]:
        if stage["role"] == role and stage.get("variant") == variant:
            return pooled(stage["evals"], key)
    return None


def show(measure: Measure | None) -> str:
    """Return a measure with its interval."""
    if measure is None:
        return "-"
    low, high = measure.ci95
    return f"{measure.value:.3f} [{low:.3f}, {high:.3f}]"


def stages_table(title: str, results: dict[str, Any]) -> Table:
    """Return a row for each evaluated stage."""
    table = Table("stage", "s", *COLUMNS, title=title)
    for stage in results["stages"]:
        measures = [show(pooled(stage["evals"], key)) for key in COLUMNS]
        table.add_row(stage["name"], f"{stage['seconds']:.0f}", *measures)
    return table


def targets(results: dict[str, Any], random: dict[str, Any] | None) -> list[tuple[str, str, bool]]:
    """Return what issue and paper ask of a run: what, the numbers, and whether it is met."""
    out: list[tuple[str, str, bool]] = []
    for key in ("pass@1", "lenient@1"):
        base, zero, r1 = (of(results, role, key) for role in ("base", "zero", "r1"))
        if base and zero:
            met = zero.value >= 2 * base.value and zero.ci95[0] > base.ci95[1]
            out.append((f"Zero at least twice base, {key}", f"{show(zero)}; {show(base)}", met))
        if zero and r1:
            out.append((f"R1 at least Zero, {key}", show(r1), r1.value >= zero.ci95[0]))
        if base and random:
            arm = of(random, "zero", key)
            met = arm is not None and not (
                arm.value >= 2 * base.value and arm.ci95[0] > base.ci95[1]
            )
            out.append((f"random rewards do not reach it, {key}", show(arm), met))
    wide = of(results, "base", "pass@k/16")
    out.append(("base pass@16, to stand beside", show(wide), wide is not None))
    for key, least in (("language_consistency", 0.95), ("format", 0.99)):
        r1 = of(results, "r1", key)
        out.append((f"R1 {key} at least {least}", show(r1), bool(r1 and r1.value >= least)))
    seconds, memory = results["seconds"], results["peak_rss_mb"]
    out.append(("at most 480 s and 3,000 MB", f"{seconds:.0f} s, {memory} MB", False))
    out[-1] = (*out[-1][:2], seconds <= 480 and memory <= 3000)
    return out


def main() -> None:
    """Run what is not there yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("runs/benchmark"))
    parser.add_argument("--no-control", action="store_true")
    arguments = parser.parse_args()
    console = Console(width=160)
    all_results: dict[int, dict[str, Any]] = {}
    met = Table("target", *(f"seed {seed}" for seed in arguments.seeds), title="targets")
    rows: dict[str, list[str]] = {}
    for seed in arguments.seeds:
        results = run(arguments.output / f"seed-{seed}", "--seed", str(seed))
        random = None
        if not arguments.no_control:
            random = control(arguments.output / f"control-{seed}", seed)
        all_results[seed] = results
        for what, numbers, reached in targets(results, random):
            rows.setdefault(what, []).append(f"{'yes' if reached else 'NO'}  {numbers}")
    for seed, results in all_results.items():
        console.print(stages_table(f"seed {seed} (reasoning environments pooled)", results))
    for what, cells in rows.items():
        met.add_row(what, *cells)
    console.print(met)
    claims = Table("claim", *(f"seed {seed}" for seed in arguments.seeds), title="claims")
    judged = {s: {c["id"]: c["verdict"] for c in r["claims"]} for s, r in all_results.items()}
    for claim in dict.fromkeys(c for verdicts in judged.values() for c in verdicts):
        claims.add_row(claim, *(judged[s].get(claim, "-") for s in arguments.seeds))
    console.print(claims)


if __name__ == "__main__":
    main()
