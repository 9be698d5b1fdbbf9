"""`palestra plugins doctor`: a line for each part, the mend beside it, exit 1 for a problem."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from palestra.install import health
from palestra.install.health import State

WORD = {"ok", "note", "problem"}


def doctor(*arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "palestra.cli.main", "plugins", "doctor", *arguments],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def findings(**environment: str) -> dict[str, dict[str, Any]]:
    code, out = doctor("--json", **environment)
    document = json.loads(out)
    problems = [f for f in document["findings"] if f["state"] == "problem"]
    assert document["ok"] is not bool(problems)
    assert code == (1 if problems else 0)
    return {finding["what"]: finding for finding in document["findings"]}


def test_each_part_has_a_line_and_every_problem_a_mend():
    code, out = doctor()
    lines = [line.split()[:2] for line in out.splitlines()]
    assert {state for state, _ in lines} <= WORD
    whats = {what for _, what in lines}
    assert {
        "python",
        "palestra",
        "train",
        "vllm",
        "programs",
        "plugins",
        "cache",
        "disk",
    } <= whats
    assert code == (1 if "problem" in {state for state, _ in lines} else 0)
    assert all("->" in line for line in out.splitlines() if line.startswith("problem"))


def test_a_broken_plugin_is_a_problem_with_its_cause_and_its_mend(tmp_path: Path):
    (tmp_path / "sick_module.py").write_text("raise ValueError('no \\x1b[31m luck')")
    info = tmp_path / "palestra_sick-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: palestra-sick\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text("[palestra]\nsick = sick_module\n")
    environment = {"PYTHONPATH": str(tmp_path), "PALESTRA_CACHE": str(tmp_path / "cache")}
    plugin = findings(**environment)["plugin"]
    assert plugin["state"] == "problem"
    assert "sick (palestra-sick 2.1): ValueError: no" in plugin["detail"]
    assert "palestra plugins uninstall palestra-sick" in plugin["mend"]
    code, out = doctor(**environment)
    assert code == 1
    assert "\x1b" not in out


def test_a_machine_that_confines_programs_says_how():
    found = findings()["programs"]
    assert found["state"] == "ok"
    assert "confined by" in found["detail"]


def test_a_machine_that_can_confine_no_program_says_what_is_missing():
    script = (
        "import palestra_sandboxes.local as local\n"
        "local.LocalSandbox._trouble = lambda self: f'{self.by} is not allowed'\n"
        "from palestra.install.health import _programs\n"
        "finding = _programs(); print(finding.state, finding.detail, finding.mend)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.startswith("note environments that run programs"), done.stderr
    assert "namespaces is not allowed" in done.stdout
    assert "code/Expression-v1" in done.stdout


def test_more_threads_than_cores_are_noted():
    found = findings(OMP_NUM_THREADS="4096")["threads"]
    assert found["state"] == "note"
    assert "OMP_NUM_THREADS=" in found["mend"]


def test_a_cache_that_cannot_be_written_is_noted(tmp_path: Path):
    (tmp_path / "file").write_text("")
    found = findings(PALESTRA_CACHE=str(tmp_path / "file" / "cache"))["cache"]
    assert found["state"] == "note"
    assert "PALESTRA_CACHE" in found["mend"]


def test_a_package_out_of_range_is_a_problem(monkeypatch: pytest.MonkeyPatch):
    asked = ["pluggy>=99", "no-such-package", 'torch>=2; extra == "train"', "numpy"]
    monkeypatch.setattr(health, "requires", lambda name: asked)
    base, train = health._requirements()
    assert (base.what, base.state) == ("palestra", State.PROBLEM)
    assert "is not >=99" in base.detail
    assert "no-such-package is missing" in base.detail
    assert base.mend == "run: pip install --upgrade 'palestra'"
    assert (train.what, train.state) == ("train", State.OK)


def test_an_extra_that_is_absent_is_a_note(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "requires", lambda name: ['no-such-package; extra == "train"'])
    _, train = health._requirements()
    assert (train.state, train.mend) == (State.NOTE, "run: pip install 'palestra[train]'")


@pytest.mark.parametrize(
    ("seen", "driver", "state", "says"),
    [
        ({"built_for": None, "gpus": []}, False, State.OK, "the CPU trains"),
        ({"built_for": "13.0", "gpus": ["H100"]}, True, State.OK, "H100"),
        ({"built_for": None, "gpus": []}, True, State.PROBLEM, "built for the CPU"),
        ({"built_for": "13.0", "gpus": []}, True, State.PROBLEM, "sees no GPU"),
    ],
)
def test_torch_is_held_against_the_driver(
    seen: dict[str, Any], driver: bool, state: str, says: str
):
    finding = health._gpu_finding({"version": "2.13.0", **seen}, driver=driver)
    assert finding.state is state
    assert says in finding.detail
    assert bool(finding.mend) is (state is State.PROBLEM)


def test_a_torch_that_hangs_is_a_problem_after_the_deadline(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "_LOOK_AT_TORCH", "import time; time.sleep(60)")
    monkeypatch.setattr(health, "TORCH_SECONDS", 0.3)
    started = time.monotonic()
    (finding,) = [f for f in health.examine() if f.what == "gpu"]
    assert time.monotonic() - started < 20
    assert (finding.state, "took more than" in finding.detail) == (State.PROBLEM, True)


def test_a_torch_that_cannot_be_imported_is_a_problem(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "_LOOK_AT_TORCH", "raise ImportError('libcudart')")
    (finding,) = [f for f in health.examine() if f.what == "gpu"]
    assert finding.state is State.PROBLEM
    assert finding.mend


def test_a_full_disk_is_a_problem(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health.shutil, "disk_usage", lambda path: SimpleNamespace(free=1e8))
    assert health._disk().state is State.PROBLEM
