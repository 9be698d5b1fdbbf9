"""`palestra plugins ls` and `show` beside plugins that are broken in every way."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SOURCES = {
    "raises": "raise ValueError('no [/x] luck \\x1b[2J')",
    "exits": "import sys; print('bye'); sys.exit(3)",
    "misspelt": "def palestra_enviroments(): return []",
    "works": """
print('noise')
import pydantic
from palestra import SamplerSpec
class Config(pydantic.BaseModel):
    port: int = 80
    host: str
def palestra_run_started(run): pass
def palestra_samplers():
    here = __name__ + ":Config"
    needs = ("numpy", "no-such-thing>=2")
    return [SamplerSpec(name="far", entry_point="json:dumps", config=here, requires=needs)]
""",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, source in SOURCES.items():
        (tmp_path / f"{name}_module.py").write_text(source)
        info = tmp_path / f"dist_{name}-2.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 2.1\n"
            f"Summary: It {name} [/x].\nProject-URL: Homepage, https://example.org/{name}\n"
        )
        (info / "entry_points.txt").write_text(f"[palestra]\n{name} = {name}_module\n")
    return tmp_path


def palestra(site: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "palestra.cli.main", *arguments],
        env={
            **os.environ,
            "PYTHONPATH": str(site),
            "PYTHONIOENCODING": "utf-8",
            "PALESTRA_CACHE": str(site / "cache"),
        },
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=code == 0,
    )
    assert done.returncode == code, done.stderr
    return done


def test_broken_plugins_are_lines_of_the_table(site: Path):
    lines = {line.split()[0]: line for line in palestra(site, "plugins", "ls").stdout.splitlines()}
    assert "dist-raises" in lines["raises"]
    assert "broken  ValueError: no [/x] luck ␛[2J" in lines["raises"]
    assert "sys.exit(3)" in lines["exits"]
    assert "Did you mean 'palestra_environments'?" in lines["misspelt"]
    assert "ok      1 sampler, observes runs" in lines["works"]
    assert re.search(r" ok +\d+ environments$", lines["math"])


def test_json_is_one_document(site: Path):
    done = palestra(site, "plugins", "ls", "--json")
    plugins = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
    assert plugins["raises"]["state"] == "broken"
    assert plugins["raises"]["distribution"] == "dist-raises"
    assert plugins["raises"]["version"] == "2.1"
    assert plugins["raises"]["error"].startswith("ValueError")
    assert plugins["works"]["observes"] is True
    assert {"kind": "policy_optimizer", "name": "grpo"} in plugins["palestra"]["brings"]
    assert "noise" not in done.stderr


def test_other_commands_go_on_and_say_so(site: Path):
    done = palestra(site, "envs", "ls")
    assert "math/Arithmetic-v1" in done.stdout
    said = r"broken plugins: .*exits, misspelt, raises.*\. See: palestra plugins ls"
    assert re.search(said, done.stderr)


def test_show_has_all_of_a_plugin(site: Path):
    shown = palestra(site, "plugins", "show", "works").stdout
    for line in (
        "distribution  dist-works",
        "summary       It works [/x].",
        "homepage      https://example.org/works",
        "hooks         palestra_samplers, palestra_run_started",
        "sampler far",
        "  entry point  json:dumps",
        "  config keys  port: int = 80",
        "               host: str (required)",
        "  unmet        no-such-thing>=2, which is not installed",
    ):
        assert line in shown.splitlines()


def test_show_ends_with_the_traceback_of_a_broken_plugin(site: Path):
    shown = palestra(site, "plugins", "show", "dist-raises").stdout
    assert "state         broken" in shown
    assert "raises_module.py" in shown
    assert shown.rstrip().endswith("ValueError: no [/x] luck ␛[2J")
    document = json.loads(palestra(site, "plugins", "show", "raises", "--json").stdout)
    assert document["trace"].startswith("Traceback")
    assert document["distribution"] == "dist-raises"


def test_show_of_nothing_says_what_is_near(site: Path):
    palestra(site, "plugins", "ls")  # a first look may take long enough to be announced
    error = palestra(site, "plugins", "show", "raizes", code=2).stderr
    assert error == "error: no plugin 'raizes'. Did you mean 'raises'? See: palestra plugins ls\n"


def test_probe_looks_anew(site: Path):
    def line(*options: str) -> str:
        listed = palestra(site, "plugins", "ls", *options).stdout
        return next(line for line in listed.splitlines() if "dist-raises" in line)

    (site / "raises_module.py").write_text("import later_of_test")
    assert "broken" in line()
    (site / "later_of_test.py").write_text("")  # nothing of the plugin, nor of any package
    assert "broken" in line()
    assert "ok" in line("--probe")
    assert "ok" in line()


def test_a_long_look_is_announced_and_leaves_stdout_alone(site: Path):
    (site / "works_module.py").write_text("import time; time.sleep(1.5)")
    done = palestra(site, "plugins", "ls", "--json")
    assert re.search(r"looking at \d+ new plugins", done.stderr)
    json.loads(done.stdout)
    assert "looking" not in palestra(site, "plugins", "ls").stderr


def test_ctrl_c_ends_a_look_and_what_it_started(site: Path, tmp_path: Path):
    note = tmp_path / "pid"
    (site / "works_module.py").write_text(
        f"import os, pathlib, time\npathlib.Path({str(note)!r}).write_text(str(os.getpid()))\n"
        "time.sleep(600)"
    )
    env = {**os.environ, "PYTHONPATH": str(site), "PALESTRA_CACHE": str(site / "cache")}
    command = [sys.executable, "-m", "palestra.cli.main", "plugins", "ls"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as running:
        _wait_until(lambda: note.exists() and note.read_text() != "")
        running.send_signal(signal.SIGINT)
        _, error = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "Traceback" not in error
    _wait_until(lambda: not Path(f"/proc/{note.read_text()}").exists())


def _wait_until(true: Callable[[], bool], limit_s: float = 30.0) -> None:
    until = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.05)
