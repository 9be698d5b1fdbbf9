"""`palestra plugins ls` beside plugins that are broken in every way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = {
    "raises": "raise ValueError('no [/x] luck \\x1b[2J')",
    "exits": "import sys; print('bye'); sys.exit(3)",
    "misspelt": "def palestra_enviroments(): return []",
    "works": "print('noise')\ndef palestra_run_started(run): pass",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, source in SOURCES.items():
        (tmp_path / f"{name}_module.py").write_text(source)
        info = tmp_path / f"dist_{name}-2.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 2.1\n")
        (info / "entry_points.txt").write_text(f"[palestra]\n{name} = {name}_module\n")
    return tmp_path


def palestra(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "palestra.cli.main", *arguments],
        env={**os.environ, "PYTHONPATH": str(site), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )


def test_broken_plugins_are_lines_of_the_table(site: Path):
    lines = {line.split()[0]: line for line in palestra(site, "plugins", "ls").stdout.splitlines()}
    assert "dist-raises" in lines["raises"]
    assert "broken  ValueError: no [/x] luck ␛[2J" in lines["raises"]
    assert "sys.exit(3)" in lines["exits"]
    assert "Did you mean 'palestra_environments'?" in lines["misspelt"]
    assert "ok      observes runs" in lines["works"]
    assert "ok      2 environments" in lines["math"]


def test_json_is_one_document(site: Path):
    done = palestra(site, "plugins", "ls", "--json")
    plugins = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
    assert plugins["raises"]["state"] == "broken"
    assert plugins["raises"]["distribution"] == "dist-raises"
    assert plugins["raises"]["version"] == "2.1"
    assert plugins["raises"]["error"].startswith("ValueError")
    assert plugins["works"]["observes"] is True
    assert {"kind": "policy_optimizer", "name": "grpo"} in plugins["palestra"]["brings"]
    assert "noise" in done.stderr


def test_other_commands_go_on_and_say_so(site: Path):
    done = palestra(site, "envs", "ls")
    assert "math/Arithmetic-v1" in done.stdout
    assert "broken plugins: exits, misspelt, raises. See: palestra plugins ls" in done.stderr
