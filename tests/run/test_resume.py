"""A run that is killed, at whatever moment and however often, ends with the same numbers."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.run.conftest import CUT, facts, start

pytestmark = pytest.mark.slow


def test_same_seed_twice_is_the_same_run(finished, palestra, tmp_path) -> None:
    code, _, err = palestra("run", CUT, "--output", tmp_path / "again")
    assert code == 0, err
    assert facts(tmp_path / "again") == facts(finished)


def test_another_seed_is_another_run(finished, palestra, tmp_path) -> None:
    code, _, err = palestra(
        "run", CUT, "--seed", "1", "--until", "zero", "--output", tmp_path / "other"
    )
    assert code == 0, err
    name = "02-zero/metrics.jsonl"
    assert facts(tmp_path / "other")[name] != facts(finished)[name]


def test_killed_at_random_moments_ends_with_the_same_numbers(finished, tmp_path) -> None:
    folder = tmp_path / "killed"
    chance = random.Random(0)
    whole = _seconds(finished)
    kills = 0
    for _ in range(60):
        resume = ["--resume"] if (folder / "manifest.json").exists() else []
        process = start("run", CUT, "--output", folder, *resume)
        if kills < 10:
            # Starting takes seconds of its own: kill after it, within the next few steps.
            time.sleep(3.0 + chance.random() * whole * 0.2)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
                continue
        _, err = process.communicate(timeout=500)
        assert process.returncode == 0, err
        break
    assert kills >= 3
    assert facts(folder) == facts(finished)


def test_ctrl_c_saves_and_says_how_to_go_on(finished, palestra, tmp_path) -> None:
    folder = tmp_path / "stopped"
    process = start("run", CUT, "--output", folder)
    metrics = folder / "stages" / "02-zero" / "metrics.jsonl"
    _wait_for(lambda: metrics.exists() and len(metrics.read_text().splitlines()) >= 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "--resume" in err
    assert str(folder) in err
    assert list((folder / "stages" / "02-zero" / "checkpoints").glob("step-*"))
    code, _, err = palestra("run", CUT, "--output", folder, "--resume")
    assert code == 0, err
    assert facts(folder) == facts(finished)


def test_a_damaged_checkpoint_is_passed_over(finished, palestra, tmp_path) -> None:
    folder = _unfinish(finished, tmp_path / "damaged", "05-r1")
    newest = sorted((folder / "stages/05-r1/checkpoints").glob("step-*"))[-1]
    (newest / "model" / "model.safetensors").write_bytes(b"rubbish")
    code, _, err = palestra("run", CUT, "--output", folder, "--resume")
    assert code == 0, err
    assert "damaged" in err
    assert newest.name in err
    assert facts(folder) == facts(finished)


def test_no_sound_checkpoint_is_one_clear_line_and_exit_1(finished, palestra, tmp_path) -> None:
    folder = _unfinish(finished, tmp_path / "ruined", "05-r1")
    for place in (folder / "stages/05-r1/checkpoints").glob("step-*"):
        (place / "learner.pt").write_bytes(b"rubbish")
    code, _, err = palestra("run", CUT, "--output", folder, "--resume")
    assert code == 1
    assert "no sound checkpoint" in err
    assert "Traceback" not in err


def test_finished_stages_are_skipped_until_an_input_changes(finished, palestra, tmp_path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    code, _, err = palestra("run", CUT, "--output", folder, "--resume")
    assert code == 0, err
    assert err.count("nothing it depends on has changed") == 6
    code, _, err = palestra(
        "run", CUT, "--output", folder, "--resume", "--set", "stages.distilled.batch_size=8"
    )
    assert code == 0, err
    assert err.count("nothing it depends on has changed") == 5


def _seconds(folder: Path) -> float:
    return float(json.loads((folder / "results.json").read_text())["seconds"])


def _unfinish(finished: Path, folder: Path, stage: str) -> Path:
    """Copy a run, and take back that `stage` (and what comes after it) is finished."""
    shutil.copytree(finished, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    name = stage.partition("-")[2]
    manifest["done"] = False
    manifest["stages"][name]["finished"] = False
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _wait_for(condition, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
