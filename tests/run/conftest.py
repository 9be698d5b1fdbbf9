"""Whole runs of the command in processes of their own, as a user starts them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from palestra.stages.measures import TIMES

CUT = Path(__file__).with_name("cut.yaml")


def start(*arguments: str | Path, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start ``palestra`` with `arguments`."""
    return subprocess.Popen(
        [sys.executable, "-m", "palestra.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        start_new_session=True,
    )


@pytest.fixture(scope="session")
def palestra() -> Callable[..., tuple[int, str, str]]:
    """Run ``palestra`` to its end: exit code, stdout, stderr."""

    def run(*arguments: str | Path, cwd: Path | None = None) -> tuple[int, str, str]:
        process = start(*arguments, cwd=cwd)
        out, err = process.communicate(timeout=500)
        return process.returncode, out, err

    return run


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, palestra: Callable[..., tuple[int, str, str]]
) -> Path:
    """One whole run of the cut recipe, never interrupted."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    code, _, err = palestra("run", CUT, "--output", folder)
    assert code == 0, err
    return folder


def facts(folder: Path) -> dict[str, Any]:
    """All that a run computed, without its times: metrics, evaluations, rollouts, weights."""
    import pyarrow.parquet as pq
    from safetensors.numpy import load_file

    out: dict[str, Any] = {}
    for stage in sorted((folder / "stages").iterdir()):
        for name in ("metrics.jsonl", "evals.jsonl"):
            if (stage / name).is_file():
                rows = [json.loads(line) for line in (stage / name).read_text().splitlines()]
                out[f"{stage.name}/{name}"] = [
                    {k: v for k, v in row.items() if not k.startswith(TIMES)} for row in rows
                ]
        for file in sorted(stage.glob("rollouts/*.parquet")) + sorted(stage.glob("*.parquet")):
            out[f"{stage.name}/{file.name}"] = pq.read_table(file).to_pylist()
        places = sorted((stage / "checkpoints").glob("step-*"))
        if places:
            weights = load_file(places[-1] / "model" / "model.safetensors")
            out[f"{stage.name}/weights"] = {k: v.tobytes() for k, v in weights.items()}
    results = json.loads((folder / "results.json").read_text())
    out["evals"] = {s["name"]: s["evals"] for s in results["stages"]}
    out["claims"] = results["claims"]
    return out
