"""Rollouts ahead of their steps: whole runs, with a sampler that has weights of its own."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from palestra.errors import ConfigError
from palestra.recipe.config import load_recipe
from tests.run.conftest import facts, start

STALE = Path(__file__).with_name("stale.yaml")


def metrics(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "stages/01-zero/metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def versions(folder: Path) -> list[set[int]]:
    files = sorted((folder / "stages/01-zero/rollouts").glob("step-*.parquet"))
    return [{v for row in pq.read_table(f).to_pylist() for v in row["versions"]} for f in files]


@pytest.fixture(scope="module")
def ahead(tmp_path_factory: pytest.TempPathFactory, palestra: Any) -> Path:
    folder = tmp_path_factory.mktemp("ahead") / "run"
    code, _, err = palestra("run", STALE, "--output", folder)
    assert code == 0, err
    return folder


@pytest.mark.slow
def test_every_token_has_the_version_that_its_step_may_have(ahead, palestra, tmp_path):
    assert versions(ahead) == [{0}, {0}, {1}, {2}, {3}, {4}, {5}]
    assert [row["lag"] for row in metrics(ahead)] == [0, 1, 1, 1, 1, 1, 1]
    more = tmp_path / "more"
    code, _, err = palestra("run", STALE, "--output", more, "--set", "stages.zero.staleness=3")
    assert code == 0, err
    assert versions(more) == [{0}, {0}, {0}, {0}, {1}, {2}, {3}]


@pytest.mark.slow
def test_older_tokens_drift_and_the_guard_looks_past_that(ahead):
    for row in metrics(ahead):
        assert row["sampler_gap"] < 1e-4
        assert (row["drift"] > 1e-3) == (row["lag"] > 0 and row["step"] > 2)


@pytest.mark.slow
def test_phases_add_up_and_what_went_on_beside_is_told_apart(ahead):
    for row in metrics(ahead):
        phases = {k: v for k, v in row.items() if k.startswith("seconds/")}
        assert sum(phases.values()) == pytest.approx(row["seconds"], rel=1e-6)
        assert "seconds/wait" in phases
        assert "seconds/generate" not in phases
        assert row["seconds_ahead/generate"] > 0
        assert row["speed/generated"] == pytest.approx(
            row["tokens_generated"] / row["seconds_ahead/generate"]
        )


@pytest.mark.slow
def test_timing_decides_nothing(ahead, palestra, tmp_path):
    folder = tmp_path / "one-thread"
    code, _, err = palestra(
        "run", STALE, "--output", folder, "--set", "engine.sampler.type=onebyone"
    )
    assert code == 0, err
    assert facts(folder) == facts(ahead)


@pytest.mark.slow
def test_killed_it_goes_on_with_the_rollouts_that_wait(ahead, tmp_path):
    folder = tmp_path / "killed"
    steps = folder / "stages/01-zero/metrics.jsonl"
    for lines in (1, 3, 4, None):  # before the first checkpoint, after one, between two
        resume = ["--resume"] if (folder / "manifest.json").exists() else []
        process = start("run", STALE, "--output", folder, *resume)
        deadline = time.monotonic() + 120
        while lines is not None and time.monotonic() < deadline:
            if steps.exists() and len(steps.read_text().splitlines()) >= lines:
                os.killpg(process.pid, signal.SIGKILL)
                break
            time.sleep(0.05)
        _, err = process.communicate(timeout=300)
        assert process.returncode == (0 if lines is None else -signal.SIGKILL), err
    assert facts(folder) == facts(ahead)


@pytest.mark.slow
def test_a_sync_that_is_skipped_is_caught_where_it_happens(palestra, tmp_path):
    code, _, err = palestra(
        "run", STALE, "--output", tmp_path / "run", "--set", "engine.sampler.type=forgetful"
    )
    assert code == 1
    assert "step 3: sampler and trainer disagree by" in err
    assert "a sync was skipped" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_sampler_that_cannot_generate_beside_the_trainer_is_one_line(palestra, tmp_path):
    code, _, err = palestra(
        "run", STALE, "--output", tmp_path / "run", "--set", "engine.sampler.type=alone"
    )
    assert code == 2
    assert "stages.zero.staleness: the sampler 'alone' reads the weights while they are" in err
    assert "vllm-server" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_the_samplers_own_log_probs_can_be_the_old_ones(palestra, tmp_path):
    sets = ("--set", "stages.zero.correction=null", "--set", "stages.zero.old_logprobs=sampler")
    code, _, err = palestra("run", STALE, "--output", tmp_path / "run", *sets)
    assert code == 0, err
    rows = metrics(tmp_path / "run")
    assert [row["lag"] for row in rows] == [0, 1, 1, 1, 1, 1, 1]
    assert any(row["clip_share"] > 0 for row in rows[2:])  # the ratio is to the older policy
    assert all("seconds/logprobs" in row for row in rows)


def test_the_embedded_sampler_is_refused_before_anything_is_loaded():
    with pytest.raises(
        ConfigError, match=r"stale\.yaml:\d+ stages\.zero\.staleness: .*vllm-server"
    ):
        load_recipe(STALE, ["engine.sampler={type: transformers}"])


def test_stale_tokens_without_a_correction_are_refused():
    with pytest.raises(ConfigError, match=r"say how to weigh them, as by `correction: "):
        load_recipe(STALE, ["stages.zero.correction=null"])
