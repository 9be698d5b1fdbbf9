"""`palestra plugins new`: a package whose tests pass as generated, and names that will not do."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.plugin.venvs import build_wheel, make_venv

from palestra.errors import ConfigError
from palestra.install.new import new_package, package_name


def palestra(*arguments: str, cwd: Path, code: int = 0) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "palestra.cli.main", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.mark.slow
def test_the_tests_of_a_new_package_pass_where_its_wheel_is_installed(tmp_path: Path):
    venv = make_venv(tmp_path / "venv")
    out, err = palestra("plugins", "new", "word-games", cwd=tmp_path)
    assert out == "palestra-word-games\n"
    assert "pip install -e" in err
    folder = tmp_path / "palestra-word-games"
    assert str(folder / "src") not in venv.run("-c", "import sys; print(sys.path)")
    wheel = build_wheel(folder, tmp_path)
    said = venv.palestra("plugins", "install", wheel)
    assert (
        "plugin word-games (palestra-word-games 0.1.0): environment word-games/Example-v1" in said
    )
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, folder / "tests"]
    assert " passed" in venv.run(*tests)
    assert "failed" not in venv.run(*tests)
    lint = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--select",
        "E,F,D1",
        str(folder),
    ]
    subprocess.run([*lint, "--line-length", "100", "--ignore", "D103,D107"], check=True)


def test_the_package_declares_its_plugin_and_its_licence(tmp_path: Path):
    folder = new_package("palestra-zugzwang", tmp_path / "here")
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "palestra-zugzwang"
    assert project["entry-points"]["palestra"] == {"zugzwang": "palestra_zugzwang.plugin"}
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")
    assert 'api=">=1,<2"' in (folder / "src/palestra_zugzwang/plugin.py").read_text(
        encoding="utf-8"
    )
    workflow = (folder / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert "${{ matrix.python }}" in workflow


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Foo Bar!", "Perhaps 'foo-bar'?"),
        ("../up", "Perhaps 'up'?"),
        ("3d", "begins with a letter"),
        ("", "begins with a letter"),
        ("a--b", "single hyphens"),
        ("math", "palestra 0.1.0 owns that namespace"),
        ("palestra", "owns that namespace"),
        ("schöne", "letters"),
    ],
)
def test_a_name_that_will_not_do_is_refused(name: str, says: str):
    with pytest.raises(ConfigError) as caught:
        package_name(name)
    assert says in str(caught.value)


def test_a_folder_in_use_is_left_alone(tmp_path: Path):
    (tmp_path / "palestra-zugzwang").mkdir()
    (tmp_path / "palestra-zugzwang" / "mine.txt").write_text("keep me")
    _, err = palestra("plugins", "new", "zugzwang", cwd=tmp_path, code=2)
    assert "is there already" in err
    assert [p.name for p in (tmp_path / "palestra-zugzwang").iterdir()] == ["mine.txt"]


def test_without_copier_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "copier", None)
    with pytest.raises(ConfigError, match=r"Run: pip install 'palestra\[plugins\]'"):
        new_package("zugzwang", tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_listing_plugins_does_not_import_copier(tmp_path: Path):
    program = (
        "import sys; from palestra.cli.main import run; run(['plugins', 'ls', '--json']); "
        "print('copier' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "False"
    assert json.loads(done.stdout)
