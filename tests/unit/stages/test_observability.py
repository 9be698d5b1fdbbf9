"""What a real run tells of itself: phases, speeds, a trace, a tracker's file."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from palestra.errors import ConfigError
from palestra.recipe.config import load_recipe
from palestra.recipe.graph import stage_hash
from palestra.stages import trackers

RECIPE = """\
model: tiny
engine: {threads: 1, trackers: [tensorboard]}
mixtures:
  zero: {sources: [{env: math/Arithmetic-v1, difficulty: 1, rewards: {accuracy: 1.0, format: 0.2}}]}
eval: {envs: [{env: math/Arithmetic-v1, difficulty: 1}], questions: 2, samples: 1, max_tokens: 8}
stages:
  warm:
    type: sft
    init_from: base
    data: [{env: math/Arithmetic-v1, count: 8}]
    steps: 3
    batch_size: 4
    optim: {learning_rate: 1.0e-4}
    eval: null
  zero:
    type: rl
    init_from: warm
    mixture: zero
    steps: 3
    prompts_per_step: 3
    group_size: 4
    sampling: {max_tokens: 24}
    optim: {learning_rate: 1.0e-4}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("observed")
    (home / "observed.yaml").write_text(RECIPE)
    command = [sys.executable, "-m", "palestra.cli.main", "run", str(home / "observed.yaml")]
    done = subprocess.run(
        [*command, "--output", str(home / "run"), "--profile", "1"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "tokens/s" in done.stderr
    return home / "run"


def rows(run: Path, stage: str) -> list[dict[str, Any]]:
    lines = (run / "stages" / stage / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_the_phases_of_a_step_add_up_to_it(run: Path) -> None:
    for row in rows(run, "02-zero"):
        phases = {k.removeprefix("seconds/"): v for k, v in row.items() if k.startswith("seconds/")}
        assert sum(phases.values()) == pytest.approx(row["seconds"])
        assert {"generate", "grade", "logprobs", "backward", "sync", "other"} <= phases.keys()
        assert min(phases["generate"], phases["backward"]) > 0
    for row in rows(run, "01-warm"):
        assert row["seconds/backward"] + row["seconds/other"] == pytest.approx(row["seconds"])


@pytest.mark.slow
def test_speeds_are_counts_over_times(run: Path) -> None:
    for row in rows(run, "02-zero"):
        assert row["tokens_generated"] == pytest.approx(12 * row["length"])
        assert row["speed/tokens"] == pytest.approx(row["tokens_generated"] / row["seconds"])
        assert row["speed/trained"] == pytest.approx(
            row["tokens_trained"] / row["seconds/backward"]
        )
        peak = row["flops/generate"] / row["seconds/generate"] / row["speed/mfu_generate"]
        trained = row["speed/mfu_train"] * row["seconds/backward"] * peak
        assert trained == pytest.approx(row["flops/train"])
        whole = row["speed/mfu"] * row["seconds"] * peak
        assert whole == pytest.approx(row["flops/train"] + row["flops/generate"])
        assert 0 < row["speed/mfu"] < 1
        assert 100 < row["memory/rss_mb"] < 10_000


@pytest.mark.slow
def test_a_trace_has_the_phases_of_one_step(run: Path) -> None:
    for stage, phases in (("01-warm", {"backward"}), ("02-zero", {"grade", "generate", "sync"})):
        (file,) = (run / "stages" / stage).glob("trace-steps-*.json.gz")
        with gzip.open(file) as stream:
            events = json.load(stream)["traceEvents"]
        names = Counter(event.get("name") for event in events)
        assert {f"palestra::{phase}" for phase in phases} <= names.keys()
        assert names["palestra::backward"] == 1  # not the steps around it
        assert names["aten::mm"] > 10


@pytest.mark.slow
def test_a_tracker_is_told_what_the_metrics_say(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = (run / "trackers" / "observed").glob("events.*")
    read = EventAccumulator(str(file))
    read.Reload()
    for stage, before in (("warm", 0), ("zero", 3)):
        folder = {"warm": "01-warm", "zero": "02-zero"}[stage]
        for key in ("loss", "seconds", "speed/tokens"):
            told = [(e.step, e.value) for e in read.Scalars(f"{stage}/{key}")]
            expected = [(before + r["step"], r[key]) for r in rows(run, folder)]
            assert told == [(step, pytest.approx(value, rel=1e-5)) for step, value in expected]
    (told,) = read.Scalars("zero/eval.math/Arithmetic-v1.pass@1.value")
    evals = json.loads((run / "stages/02-zero/evals.jsonl").read_text())["evals"]
    assert told.step == 6
    assert told.value == pytest.approx(evals["math/Arithmetic-v1"]["pass@1"]["value"])


@pytest.mark.slow
def test_the_report_shows_where_the_time_went(run: Path) -> None:
    page = (run / "report" / "index.html").read_text()
    assert page.count('class="phases"') == 2
    assert "Model FLOPs utilisation" in page


def written(tmp_path: Path, trackers_: str) -> Path:
    file = tmp_path / "r.yaml"
    file.write_text(RECIPE.replace("[tensorboard]", trackers_))
    return file


def test_no_tracker_unless_the_recipe_names_one(tmp_path: Path) -> None:
    plain = RECIPE.replace(", trackers: [tensorboard]", "")
    (tmp_path / "r.yaml").write_text(plain)
    assert load_recipe(tmp_path / "r.yaml").engine.trackers == []


def test_a_tracker_without_its_package_is_one_line_before_the_run(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None if name == "wandb" else object())
    with pytest.raises(ConfigError) as caught:
        load_recipe(written(tmp_path, "[tensorboard, wandb]"))
    line = str(caught.value)
    assert line.endswith(
        "r.yaml:2 engine.trackers.1: the package of tracker 'wandb' is missing. "
        "Run: pip install wandb"
    )


def test_a_tracker_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tensorboard"):
        load_recipe(written(tmp_path, "[tensorbord]"))


def test_watching_a_run_changes_no_stage(tmp_path: Path) -> None:
    with_it = stage_hash(load_recipe(written(tmp_path, "[tensorboard]")), "zero")
    without = stage_hash(load_recipe(written(tmp_path, "[]")), "zero")
    assert with_it == without


@pytest.mark.slow
def test_every_metric_is_in_the_reference(run: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/reference/metrics.md").read_text()
    documented = set(re.findall(r"^\| `([^`]+)` \|", page, re.M))
    for stage in ("01-warm", "02-zero"):
        for key in rows(run, stage)[-1]:
            family = key.partition("/")[0]
            assert documented & {key, f"{family}/NAME", f"{family}/SOURCE"}, key
