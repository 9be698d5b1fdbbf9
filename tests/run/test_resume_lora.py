"""A run with adapters and checkpointed gradients is the same run when it is killed and resumed."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.run.conftest import CUT, facts, start

pytestmark = pytest.mark.slow

OPTIONS = (
    *("--set", "engine.lora={rank: 4}", "--set", "engine.gradient_checkpointing=true"),
    *("--only", "zero", "--set", "stages.zero.optimizer.kl=0.02"),
    *("--set", "stages.r1.reference_every=0"),
    *("--set", "stages.zero.save_steps=2", "--set", "stages.zero.steps=6"),
)


def test_a_killed_run_with_adapters_ends_with_the_same_numbers(palestra, tmp_path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    code, _, err = palestra("run", CUT, "--output", whole, *OPTIONS)
    assert code == 0, err
    process = start("run", CUT, "--output", folder, *OPTIONS)
    metrics = folder / "stages" / "02-zero" / "metrics.jsonl"
    deadline = time.monotonic() + 200
    while not metrics.exists() or len(metrics.read_text().splitlines()) < 3:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    code, _, err = palestra("run", CUT, "--output", folder, *OPTIONS, "--resume")
    assert code == 0, err
    assert facts(folder) == facts(whole)


def test_a_reference_that_would_have_to_move_is_refused(palestra, tmp_path) -> None:
    changed = (*OPTIONS, "--set", "stages.zero.reference_every=2")
    code, _, err = palestra("run", CUT, "--output", tmp_path / "run", *changed)
    assert code == 2
    assert "stages.zero.reference_every: with engine.lora the reference is the model" in err
    assert "Traceback" not in err
