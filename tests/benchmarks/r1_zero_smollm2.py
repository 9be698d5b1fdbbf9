"""What R1-Zero does to a real pretrained model on a CPU, beside random rewards: tables and a curve.

    python tests/benchmarks/r1_zero_smollm2.py [--output DIR] [--model FOLDER] [--svamp FILE]
        [--curve FILE.svg]

Runs the recipe `r1-zero-smollm2` (or reads the run that DIR already holds), prints Markdown tables,
and draws the training curves of both arms. Asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from palestra.evaluation.metrics import Measure
from palestra.evaluation.pooling import lookup

KEYS = ("pass@1", "lenient@1", "format", "language_consistency", "mean_length")
CURVES = {"accuracy, strict": "reward/accuracy", "accuracy, lenient": "reward/lenient_accuracy"}
CURVES |= {"format": "format"}
COLOURS = ("#a8471f", "#4f6d7a", "#8a8378")


def run(folder: Path, model: str | None, svamp: str | None) -> dict[str, Any]:
    """Return the results of the run in `folder`, made now unless it is there and done."""
    manifest = folder / "manifest.json"
    if not (manifest.is_file() and json.loads(manifest.read_text())["done"]):
        command = [sys.executable, "-m", "palestra.cli.main", "run", "r1-zero-smollm2"]
        command += ["--output", str(folder)]
        command += ["--resume"] if manifest.is_file() else []
        command += ["--model", model] if model else []
        command += ["--set", f"eval.envs.2.kwargs.path={svamp}"] if svamp else []
        subprocess.run(command, check=True)
    return json.loads((folder / "results.json").read_text())


def show(measure: Measure | None) -> str:
    """Return a measure with its interval."""
    if measure is None:
        return "-"
    low, high = measure.ci95
    digits = 1 if measure.value > 1.5 else 3
    return f"{measure.value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def tables(results: dict[str, Any]) -> str:
    """Return a table an environment, a row for each stage."""
    lines: list[str] = []
    for env in results["stages"][0]["evals"]:
        lines += [f"`{env}`", "", "| stage | " + " | ".join(KEYS) + " |", "| --- " * 6 + "|"]
        for stage in results["stages"]:
            cells = [show(lookup(stage["evals"][env], key)) for key in KEYS]
            name = stage.get("variant") or stage["role"]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    minutes = {s["name"]: round(s["seconds"] / 60, 1) for s in results["stages"]}
    lines.append(f"minutes: {minutes}, in all {results['seconds'] / 60:.1f}")
    lines.append(f"peak memory: {results['peak_rss_mb']} MB")
    return "\n".join(lines)


def draw(folder: Path, file: Path) -> None:
    """Draw accuracy and format against steps, for the rules and for random rewards."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "palestra"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3), sharey=True)
    for place, name, title in ((0, "zero", "rules"), (1, "random", "random rewards")):
        (stage,) = (folder / "stages").glob(f"*-{name}")
        rows = [json.loads(line) for line in (stage / "metrics.jsonl").read_text().splitlines()]
        for (label, key), colour in zip(CURVES.items(), COLOURS, strict=True):
            points = [(r["step"], r[key]) for r in rows if key in r]
            axes[place].plot(*zip(*points, strict=True), label=label, color=colour, linewidth=1.5)
        axes[place].set(title=title, xlabel="step", ylim=(0, 1))
        axes[place].spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("share of the step's 64 completions")
    axes[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    """Run what is not there yet, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("runs/r1-zero-smollm2"))
    parser.add_argument("--model", help="a folder with the weights, for a machine without the Hub")
    parser.add_argument("--svamp", help="a JSONL file of SVAMP")
    parser.add_argument("--curve", type=Path, help="where to draw the training curves")
    options = parser.parse_args()
    results = run(options.output, options.model, options.svamp)
    print(tables(results))
    if options.curve is not None:
        draw(options.output, options.curve)


if __name__ == "__main__":
    main()
