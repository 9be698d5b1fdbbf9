"""A run with quotas, floors, group sizes, a nested mixture and a curriculum: shares and resume."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from palestra.report.data import load_run
from palestra.report.tables import mixture_table
from palestra.stages.measures import TIMES

pytestmark = pytest.mark.slow
MIXED = Path(__file__).with_name("mixed.yaml")
ADD, ORDER, GENERAL = "math/Arithmetic-v1", "logic/Ordering-v1", "general/Instructions-v1"


def start(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "palestra.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
    )


def ended(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err


def metrics(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "stages/01-zero/metrics.jsonl").read_text().splitlines()
    return [
        {k: v for k, v in json.loads(line).items() if not k.startswith(TIMES)} for line in lines
    ]


def rollouts(folder: Path) -> list[list[dict[str, Any]]]:
    import pyarrow.parquet as pq

    files = sorted((folder / "stages/01-zero/rollouts").glob("*.parquet"))
    return [pq.read_table(file).to_pylist() for file in files]


def facts(folder: Path) -> dict[str, Any]:
    results = json.loads((folder / "results.json").read_text())
    return results["stages"][0]["facts"]["mixture"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed") / "run"
    ended(start("run", MIXED, "--output", folder))
    return folder


def test_every_step_has_its_quotas_floors_group_sizes_and_limits(finished: Path) -> None:
    steps = rollouts(finished)
    assert len(steps) == 6
    for rows in steps:
        groups = {row["group"]: row["env_id"] for row in rows}
        prompts = Counter(groups.values())
        assert len(groups) == 6
        assert prompts[ADD] == 2
        assert prompts[GENERAL] >= 2  # a fifth of six, rounded up
        sizes = Counter(row["group"] for row in rows)
        assert {sizes[g] for g, env in groups.items() if env == ADD} == {6}
        assert {sizes[g] for g, env in groups.items() if env != ADD} == {4}
        longest = {row["env_id"]: 0 for row in rows}
        for row in rows:
            longest[row["env_id"]] = max(longest[row["env_id"]], row["length"])
        assert longest.get(ORDER, 0) <= 40
        assert max(longest.values()) <= 48


def test_realised_and_asked_shares_are_measured(finished: Path) -> None:
    for row in metrics(finished):
        assert row[f"share/{ADD}"] == pytest.approx(1 / 3)
        assert row[f"grader_errors/{ADD}"] == 0
        assert sum(v for k, v in row.items() if k.startswith("share/")) == pytest.approx(1)
    found = facts(finished)
    assert found[ADD] == {
        "asked": pytest.approx(1 / 3),
        "realised": pytest.approx(1 / 3),
        "prompts": 12,
        "completions": 72,
        "grader_errors": 0,
    }
    assert sum(source["realised"] for source in found.values()) == pytest.approx(1)
    assert sum(source["asked"] for source in found.values()) == pytest.approx(1)


def test_the_curriculum_moves_and_is_seen_in_the_metrics(finished: Path) -> None:
    levels = [row[f"curriculum/level/{ADD}"] for row in metrics(finished)]
    assert levels[0] == 1.0
    assert len(set(levels)) > 1


def test_killed_runs_go_on_with_the_same_draws(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    record = folder / "stages/01-zero/metrics.jsonl"
    for steps in (1, 3, 5):
        resume = ["--resume"] if (folder / "manifest.json").exists() else []
        process = start("run", MIXED, "--output", folder, *resume)
        deadline = time.monotonic() + 200
        while not record.exists() or len(record.read_text().splitlines()) < steps:
            assert time.monotonic() < deadline, "waited too long"
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    ended(start("run", MIXED, "--output", folder, "--resume"))
    assert metrics(folder) == metrics(finished)
    assert rollouts(folder) == rollouts(finished)
    assert facts(folder) == facts(finished)


def test_two_processes_draw_and_sample_what_one_does(finished: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    shared |= {"LOCAL_WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    folder = tmp_path / "two"
    both = [
        start("run", MIXED, "--output", folder, **shared, RANK=str(rank), LOCAL_RANK=str(rank))
        for rank in range(2)
    ]
    for process in both:
        ended(process)
    kept = ("env_id", "task_id", "group", "member", "difficulty")
    # Weights are equal to 1e-5 only, so tokens may part ways; what is drawn first may not.
    first = [
        [tuple(row[k] for k in kept) for row in f(1)] for f in (_step(folder), _step(finished))
    ]
    assert first[0] == first[1]
    assert [row["completion"] for row in rollouts(folder)[0]] == [
        row["completion"] for row in rollouts(finished)[0]
    ]
    assert facts(folder)[ADD] == facts(finished)[ADD]


def _step(folder: Path):
    return lambda number: rollouts(folder)[number - 1]


def test_the_report_has_a_table_of_the_shares(finished: Path) -> None:
    (stage,) = load_run(finished).stages
    text = str(mixture_table(stage))
    assert "asked and realised shares" in text
    assert all(env in text for env in (ADD, ORDER, GENERAL))
    assert "33.3" in text
