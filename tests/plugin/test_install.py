"""`palestra plugins install` and `uninstall`, with pip and an environment of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.plugin.venvs import Venv, make_venv

from palestra.install.installer import InstallerFailed, last_error


@pytest.fixture
def venv(tmp_path: Path) -> Venv:
    return make_venv(tmp_path / "venv")


def plugins(venv: Venv) -> dict[str, str]:
    listed = json.loads(venv.palestra("plugins", "ls", "--json"))
    return {plugin["name"]: plugin["state"] for plugin in listed}


@pytest.mark.slow
def test_a_short_name_installs_shows_and_uninstalls(venv: Venv):
    venv.wheel("helper-lib", "3.1", "x = 1", entry_point=False)
    venv.wheel("palestra-zugzwang", requires=("helper-lib>=3",))
    bare = venv.files()
    assert "would install palestra-zugzwang 1.0" in venv.palestra(
        "plugins", "install", "zugzwang", "--dry-run"
    )
    assert venv.files() == bare
    out = venv.palestra("plugins", "install", "zugzwang")
    assert "zugzwang stands for palestra-zugzwang" in out
    assert "installed helper-lib 3.1" in out
    assert "plugin zugzwang (palestra-zugzwang 1.0): environment zugzwang/Add-v1" in out
    assert plugins(venv)["zugzwang"] == "ok"
    assert "already" in venv.palestra("plugins", "install", "palestra-zugzwang")
    refused = venv.palestra("plugins", "uninstall", "zugzwang", code=2, stdin=subprocess.DEVNULL)
    assert "environment zugzwang/Add-v1" in refused
    assert "add --yes" in refused
    assert "uninstalled palestra-zugzwang 1.0" in venv.palestra(
        "plugins", "uninstall", "zugzwang", "--yes"
    )
    assert "zugzwang" not in plugins(venv)


@pytest.mark.parametrize(
    ("source", "entry_point", "says"),
    [
        ("raise ValueError('no luck')", True, "does not load: ValueError: no luck"),
        ("def palestra_enviroments(): return []", True, "Did you mean 'palestra_environments'?"),
        ("x = 1", False, "no entry point of the group 'palestra'"),
    ],
    ids=["raises", "misspelt hook", "no plugin"],
)
def test_what_does_not_load_is_taken_back_with_what_it_brought(
    venv: Venv, source: str, entry_point: bool, says: str
):
    venv.wheel("helper-lib", "3.1", "x = 1", entry_point=False)
    wheel = venv.wheel(
        "palestra-bad", "1.0", source, requires=("helper-lib",), entry_point=entry_point
    )
    before = venv.files()
    out = venv.palestra("plugins", "install", wheel, code=1)
    assert says in out
    assert "All is as it was" in out
    assert venv.files() == before


def test_a_broken_upgrade_gives_the_old_version_back(venv: Venv):
    venv.wheel("palestra-zugzwang", "1.0")
    venv.palestra("plugins", "install", "zugzwang")
    before = venv.files()
    venv.wheel("palestra-zugzwang", "2.0", "raise ValueError('no luck')")
    out = venv.palestra("plugins", "install", "palestra-zugzwang==2.0", code=1)
    assert "palestra-zugzwang 2.0 does not load: ValueError: no luck" in out
    assert venv.files() == before
    assert plugins(venv)["zugzwang"] == "ok"


@pytest.mark.slow
def test_nothing_that_is_installed_changes_without_force(venv: Venv):
    venv.wheel("palestra-zugzwang", "1.0", requires=("helper-lib",))
    venv.wheel("helper-lib", "3.1", "x = 1", entry_point=False)
    venv.palestra("plugins", "install", "zugzwang")
    before = venv.files()
    venv.wheel("helper-lib", "2.0", "x = 1", entry_point=False)
    venv.wheel("palestra-go", "1.0", requires=("helper-lib<3",))
    out = venv.palestra("plugins", "install", "go", code=2)
    assert "helper-lib 3.1 -> 2.0" in out
    assert "palestra-go 1.0 depends on helper-lib<3" in out
    assert "--force" in out
    assert venv.files() == before
    out = venv.palestra("plugins", "install", "go", "--force")
    assert "changes helper-lib 3.1 -> 2.0" in out
    assert plugins(venv)["go"] == "ok"


def test_torch_is_not_replaced_without_force(venv: Venv):
    venv.wheel("torch", "1.0", "x = 1", entry_point=False)
    venv.wheel("palestra-old", requires=("torch==1.0",))
    for asked in ("old", "torch==1.0"):
        out = venv.palestra("plugins", "install", asked, "--dry-run", code=2)
        assert "torch 2." in out
        assert "-> 1.0" in out


def test_a_plugin_that_breaks_another_is_taken_back(venv: Venv):
    venv.wheel("helper-lib", "3.1", "x = 1", entry_point=False)
    uses = "from helper_lib import x\ndef palestra_run_started(run): pass"
    venv.wheel("palestra-first", "1.0", uses, requires=("helper-lib",))
    venv.palestra("plugins", "install", "first")
    before = venv.files()
    venv.wheel("helper-lib", "2.0", "y = 1", entry_point=False)
    venv.wheel("palestra-second", requires=("helper-lib<3",))
    out = venv.palestra("plugins", "install", "second", "--force", code=1)
    assert "with it palestra-first 1.0 breaks: ImportError" in out
    assert venv.files() == before


@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.6])
def test_an_interrupted_installation_leaves_nothing(venv: Venv, seconds: float):
    """Ctrl-C goes to the whole group of the terminal, also while pip writes."""
    wheel = venv.wheel("palestra-slow", "1.0", "x = 1\n" * 200_000)
    before = venv.files()
    process = subprocess.Popen(
        [venv.python, "-m", "palestra.cli.main", "plugins", "install", str(wheel)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PIP_NO_INDEX": "1", "PALESTRA_CACHE": str(venv.folder / "cache")},
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("installing palestra-slow"):
            break
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert venv.files() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no-such-thing"], "no package 'no-such-thing' (nor 'palestra-no-such-thing')"),
        (["palestra-no-such-thing"], "no package 'palestra-no-such-thing'"),
        (["./missing"], "no file or folder at ./missing"),
        (["a b!"], "'a b!' is no name of a package"),
        (["palestra"], "Palestra itself"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_had_is_one_line(venv: Venv, arguments: list[str], says: str):
    out = venv.palestra("plugins", "install", *arguments, code=2)
    errors = [line for line in out.splitlines() if not line.startswith("there is no palestra-")]
    assert len(errors) == 1, out
    assert says in errors[0]


def test_an_index_that_cannot_be_reached_is_named(venv: Venv):
    nowhere = {
        "PIP_NO_INDEX": "0",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }
    out = venv.palestra("plugins", "install", "palestra-zugzwang", code=2, env=nowhere)
    assert "pip could not reach a package index" in out
    assert len(out.splitlines()) == 1, out


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("math", "'math' is part of Palestra itself"),
        ("palestra", "that is part of Palestra itself"),
        ("numpy", "it is no plugin"),
        ("mth", "Did you mean 'math'?"),
    ],
)
def test_only_plugins_of_others_are_uninstalled(venv: Venv, name: str, says: str):
    assert says in venv.palestra("plugins", "uninstall", name, "--yes", code=2)


def test_uv_installs_where_uv_made_the_environment(venv: Venv):
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not here")
    config = venv.folder / "pyvenv.cfg"
    config.write_text(config.read_text() + "uv = 0.9\n")
    offline = {
        "UV_FIND_LINKS": str(venv.folder / "wheels"),
        "UV_INDEX_URL": "http://127.0.0.1:9/simple",
        "UV_OFFLINE": "1",
    }
    wheel = venv.wheel("palestra-zugzwang")
    out = venv.palestra("plugins", "install", wheel, env=offline)
    assert "plugin zugzwang (palestra-zugzwang 1.0): environment zugzwang/Add-v1" in out
    assert (venv.site / "palestra_zugzwang-1.0.dist-info/INSTALLER").read_text().strip() == "uv"
    before = venv.files()
    bad = venv.wheel("palestra-zugzwang", "2.0", "raise ValueError('no luck')")
    out = venv.palestra("plugins", "install", bad, code=1, env=offline)
    assert "palestra-zugzwang 2.0 does not load" in out
    assert venv.files() == before


def test_the_last_error_of_an_installer_is_one_line():
    pip = "ERROR: Could not find x\nERROR: No matching distribution found for x\n[notice] new pip"
    assert last_error(pip) == "No matching distribution found for x"
    uv = (
        "error: No solution found when resolving dependencies\n"
        "  cause: Because x was not found in the package registry, no.\n\nhint: none"
    )
    assert last_error(uv) == "Because x was not found in the package registry, no."
    drawn = "  × No solution found when resolving dependencies:\n  ╰─▶ Because a depends on b, no."
    assert last_error(drawn) == "Because a depends on b, no."
    assert InstallerFailed("uv", uv).missing == "x"
    assert last_error("") == "it said nothing"


def test_python_of_the_tests_is_untouched():
    """The environments above are their own: nothing of them is installed here."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "list"], capture_output=True, text=True, check=True
    ).stdout
    assert "palestra-zugzwang" not in listed
