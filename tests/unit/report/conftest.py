"""A small synthetic run directory, with hostile model text in its rollouts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HOSTILE = (
    "<think>[/x] [bold red]\x1b[31m\x1b]0;owned\x07 \x00 </script><script>alert(1)</script> "
    "<img src=x onerror=alert(2)> \u202egnorw\u202c \u2066a\u2069 \u200b \x85\x9b1m \r\n"
    "5 + 3 = 8, 所以答案是八</think>\n<answer>8</answer> &amp; \" ' --> ]]>"
)
ENVS = ("math/Arithmetic-v1", "logic/Parity-v1", "general/Echo-v1")


def measure(value: float, half: float = 0.03, n: int = 150) -> dict[str, Any]:
    bounds = [max(0.0, value - half), min(1.0, value + half) if value <= 1 else value + half]
    return {"value": value, "ci95": bounds, "n": n}


def block(accuracy: float, language: float, length: float) -> dict[str, Any]:
    return {
        "pass@1": measure(accuracy),
        "lenient@1": measure(min(1, accuracy + 0.04)),
        "pass@k": {"4": measure(min(1, accuracy + 0.15))},
        "cons@k": {"4": measure(min(1, accuracy + 0.1))},
        "greedy": measure(accuracy),
        "mean_length": measure(length, 1.5),
        "format": measure(0.9 if accuracy > 0.3 else 0.25),
        "language_consistency": measure(language),
        "truncated": 3,
        "invalid": 1,
        "by_difficulty": {str(i): measure(max(0.01, accuracy - 0.1 * i)) for i in (1, 2, 3)},
    }


def stage(name: str, role: str, init: str | None, numbers: tuple[float, float, float], **more: Any):
    return {
        "name": name,
        "type": more.pop("type", "rl"),
        "role": role,
        "init_from": init,
        "seconds": 61.5,
        "evals": {env: block(*numbers) for env in ENVS},
        **more,
    }


def results() -> dict[str, Any]:
    start = block(0.1, 0.47, 39)
    stages = [
        stage("base", "base", None, (0.23, 0.44, 41), type="evaluate"),
        stage("zero", "zero", "base", (0.79, 0.61, 72), steps=60),
        stage("with_language", "ablation", "zero", (0.92, 0.75, 75), variant="with_language_reward"),
        stage("without_language", "ablation", "zero", (0.93, 0.60, 75), variant="without_language_reward"),
        stage("cold_start", "cold_start", "base", (0.7, 0.99, 70), type="sft"),
        stage("reasoning_rl", "reasoning_rl", "cold_start", (0.85, 0.996, 75)),
        stage("rejection", "rejection_sampling", "reasoning_rl", (0.85, 0.996, 75), type="rejection_sampling", evals={}),
        stage("sft", "sft", "base", (0.88, 0.99, 75), type="sft", notes="Restarts from base, as R1 did."),
        stage("r1", "r1", "sft", (0.96, 0.999, 75), notes=["one", "two"]),
        stage("student_sft", "student_sft", "student", (0.73, 1.0, 75), type="distill", before=dict.fromkeys(ENVS, start)),
        stage("student_rl", "student_rl", "student", (0.64, 0.59, 73), before=dict.fromkeys(ENVS, start)),
    ]  # fmt: skip
    return {
        "schema": 1,
        "recipe": "r1-tiny",
        "seed": 0,
        "versions": {"palestra": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
        "seconds": 431.7,
        "peak_rss_mb": 1834,
        "stages": stages,
    }


def curve(steps: int, start: float, end: float) -> list[dict[str, Any]]:
    rows = []
    for step in range(steps):
        done = step / max(1, steps - 1)
        jitter = 0.03 * math.sin(step * 2.4)
        level = start + (end - start) * (1 - math.exp(-3 * done)) + jitter
        rows.append(
            {
                "step": step,
                "reward": level + 0.1 * done,
                "reward/accuracy": level,
                "reward/format": 0.25 + 0.7 * done + jitter,
                "length": 41 + 32 * done + 40 * jitter,
                "format": 0.25 + 0.7 * done,
                "language_consistency": 0.44 + 0.17 * done,
                "entropy": 1.2 * math.exp(-2 * done) + 0.2,
                "kl": 0.01 * step,
                "clip_share": 0.001 * step,
                "grad_norm": 0.5 + jitter,
                "loss": jitter,
                "learning_rate": 1e-4,
                "seconds_sampling": 1.5 + jitter,
            }
        )
    return rows


def rollouts(step: int, size: int = 4) -> list[dict[str, Any]]:
    return [
        {
            "step": step,
            "source": "math",
            "env_id": "math/Arithmetic-v1",
            "task_id": f"t{group}",
            "group": group,
            "member": member,
            "prompt": f"5 + 3 = ? {HOSTILE if group else ''}",
            "completion": f"member {member} {HOSTILE}",
            "reward": 1.1 * (member % 2) * group,
            "components": json.dumps({"accuracy": float(member % 2), "<b>": 0.1}),
            "status": "ok" if member else "error",
            "stop_reason": "stop",
            "length": 70 + member,
            "advantage": 1.0 - member,
        }
        for group in range(2)
        for member in range(size)
    ]


def write_run(path: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    facts = results()
    path.mkdir(parents=True, exist_ok=True)
    (path / "recipe.yaml").write_text("model: tiny\nseed: 0\n# </style><script>alert(3)</script>\n")
    manifest = {"model": "tiny", "started": "2026-08-14 10:20"}
    (path / "manifest.json").write_text(json.dumps(manifest))
    (path / "results.json").write_text(json.dumps(facts))
    for place, entry in enumerate(facts["stages"], start=1):
        folder = path / "stages" / f"{place:02d}-{entry['name']}"
        (folder / "rollouts").mkdir(parents=True)
        if entry["name"] not in ("zero", "r1"):
            continue
        rows = curve(60, 0.23, 0.79)
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        evals = [
            {"step": s, "evals": {env: block(0.2 + s / 100, 0.5, 50) for env in ENVS}}
            for s in (0, 20, 40, 59)
        ]
        (folder / "evals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in evals))
        for step in (0, 9, 10, 59):
            table = pa.Table.from_pylist(rollouts(step))
            pq.write_table(table, folder / "rollouts" / f"step-{step}.parquet")
    return path


@pytest.fixture(scope="session")
def run_writer() -> Callable[[Path], Path]:
    return write_run


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return write_run(tmp_path / "r1-tiny-20260814-0")
