"""One recipe file by every sampler, by one process and two: what must be the same is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.launching import finish, start_all
from tests.vllm.conftest import Server

RECIPE = Path(__file__).with_name("recipe.yaml")
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "palestra.cli.main", "run", str(RECIPE), "--output"]
    return subprocess.Popen(
        [*command, str(folder), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    process = start(folder, *arguments)
    _, err = process.communicate(timeout=300)
    return process.returncode, err


def sampler(name: str, servers: list[Server]) -> tuple[str, ...]:
    block: dict[str, Any] = {"type": name}
    if name == "vllm-server":
        block["urls"] = [s.url for s in servers]
    return "--set", f"engine.sampler={json.dumps(block)}"


def metrics(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "stages/01-zero/metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def prompts(folder: Path) -> list[list[tuple[Any, ...]]]:
    import pyarrow.parquet as pq

    files = sorted((folder / "stages/01-zero/rollouts").glob("step-*.parquet"))
    names = ("env_id", "task_id", "prompt_hash", "group")
    return [
        [tuple(row.get(n) for n in names) for row in pq.read_table(f).to_pylist()] for f in files
    ]


@pytest.fixture(scope="module")
def runs(servers: list[Server], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The recipe by each sampler, to its end."""
    done: dict[str, Path] = {}
    for name in ("transformers", "vllm", "vllm-server"):
        done[name] = tmp_path_factory.mktemp(name) / "run"
        code, err = run(done[name], *sampler(name, servers))
        assert code == 0, err[-3000:]
    return done


def test_every_sampler_is_asked_the_same_tasks_in_the_same_order(runs: Mapping[str, Path]) -> None:
    expected = prompts(runs["transformers"])
    assert [len(step) for step in expected] == [48] * 4
    assert prompts(runs["vllm"]) == expected
    assert prompts(runs["vllm-server"]) == expected


def test_sampler_and_trainer_agree_on_every_token(runs: Mapping[str, Path]) -> None:
    for folder in runs.values():
        rows = metrics(folder)
        assert len(rows) == 4
        for row in rows:
            assert 0 < row["sampler_gap"] < 1e-3 or row["tokens_trained"] == 0
            assert row["sampler_gap_max"] < 1e-2
            assert abs(row["sampler_kl"]) < 1e-5
            assert row["sampler_gap_share"] == 0
            assert (row["groups"], row["groups_dropped"], row["invalid"]) == (6, 0, 0)


def test_both_ways_to_vllm_draw_the_same_tokens_of_the_same_weights(
    runs: Mapping[str, Path],
) -> None:
    first, second = metrics(runs["vllm"])[0], metrics(runs["vllm-server"])[0]
    for name in ("reward", "length", "entropy", "format", "loss", "grad_norm"):
        assert first[name] == pytest.approx(second[name], abs=1e-4), name


def test_what_is_drawn_is_the_same_distribution(runs: Mapping[str, Path]) -> None:
    """The noise is another, so means over the run's 192 completions agree as samples do."""
    for name in ("reward", "length", "entropy"):
        means = [sum(row[name] for row in metrics(folder)) / 4 for folder in runs.values()]
        allowed = {"reward": 0.2, "length": 10, "entropy": 0.25}[name]
        assert max(means) - min(means) < allowed, (name, means)


def test_later_stages_sample_by_it_too(runs: Mapping[str, Path]) -> None:
    for folder in runs.values():
        results = json.loads((folder / "results.json").read_text())
        stages = {stage["name"]: stage for stage in results["stages"]}
        assert stages["examples"]["facts"]["sampled"] == 32
        assert stages["sft"]["evals"]["math/Arithmetic-v1"]["pass@1"]["n"] == 6


@pytest.mark.parametrize("spread", ["ddp", "fsdp2"])
@pytest.mark.parametrize("name", ["vllm", "vllm-server"])
def test_two_processes_do_what_one_does(
    runs: Mapping[str, Path], servers: list[Server], tmp_path: Path, name: str, spread: str
) -> None:
    finish(start_all(tmp_path / "run", 2, (str(RECIPE), *sampler(name, servers)), spread))
    assert prompts(tmp_path / "run") == prompts(runs[name])
    alone, shared = metrics(runs[name]), metrics(tmp_path / "run")
    assert len(shared) == 4
    assert all(0 < row["sampler_gap"] < 1e-3 for row in shared if row["tokens_trained"])
    # From here on the weights differ in their last digits, and so may a token on the edge.
    for measure in ("reward", "length", "entropy", "format", "loss", "grad_norm", "tokens_trained"):
        assert shared[0][measure] == pytest.approx(alone[0][measure], abs=1e-4), measure
    later = json.loads((tmp_path / "run" / "results.json").read_text())["stages"]
    assert [stage["name"] for stage in later] == ["zero", "examples", "sft"]


@pytest.mark.parametrize("name", ["vllm", "vllm-server"])
def test_a_killed_run_goes_on_with_the_same_tasks(
    runs: Mapping[str, Path], servers: list[Server], tmp_path: Path, name: str
) -> None:
    folder, options = tmp_path / "run", (*sampler(name, servers), "--only", "zero")
    process = start(folder, *options)
    deadline = time.monotonic() + 120
    while not (folder / "stages/01-zero/checkpoints/step-000002").exists():
        assert process.poll() is None, process.stderr
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    code, err = run(folder, *options, "--resume")
    assert code == 0, err[-3000:]
    assert [row["step"] for row in metrics(folder)] == [1, 2, 3, 4]
    assert all(row["sampler_gap"] < 1e-3 for row in metrics(folder))
    assert prompts(folder) == prompts(runs[name])


@pytest.mark.parametrize(
    ("fault", "cause"), [("stale-head", "lm_head"), ("skips-a-sync", "a sync was skipped")]
)
def test_a_planted_fault_stops_the_run_and_is_named(tmp_path: Path, fault: str, cause: str) -> None:
    plugin = Path(__file__).with_name("faulty.py")
    code, err = run(
        tmp_path / "run",
        *("--set", f"plugins=[{plugin}]", "--set", f"engine.sampler={{type: {fault}}}"),
        *("--set", "stages.zero.optim.learning_rate=3e-3", "--only", "zero"),
    )
    assert code == 1, err[-3000:]
    (line,) = [line for line in err.splitlines() if line.startswith("error:")]
    assert "sampler and trainer disagree by" in line
    assert cause in line
