"""One line in a plugin's tests: a test a check, named, with the mend in the failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from palestra.conformance import check_names

TESTS = """
from palestra import SingleTurnEnv, Task
from palestra.testing import conformance

class Broken(SingleTurnEnv):
    env_id = "acme/Broken-v1"
    def sample(self, rng, difficulty):
        a = int(rng.integers(10**6))
        return Task(prompt=f"What is {a} + 1?", reference=str(a + 1))
    def grade(self, task, completion):
        return 1.0 if not completion.strip() else super().grade(task, completion)

test_broken = conformance(Broken())
test_unknown = conformance("acme/Nothing-v1")
"""


def pytest_of(folder: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *options, "."],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test_mine.py").write_text(TESTS)
    return tmp_path


def test_one_line_gives_a_test_a_check(folder: Path):
    listed = pytest_of(folder, "--collect-only", "-q")
    for name in check_names():
        assert f"test_mine.py::test_broken[{name}]" in listed


def test_a_failure_is_the_demand_and_the_mend_without_a_traceback(folder: Path):
    output = pytest_of(folder, "-k", "test_broken")
    assert "1 failed" in output
    assert "test_broken[silence-is-not-paid]" in output
    assert "mend: pay for an answer alone" in output
    assert "Traceback" not in output
    assert "def test(" not in output
    assert "n/a: the spec declares no size" in output
    assert "acme/Broken-v1: false passes: 48 of" in output


def test_an_unknown_id_is_one_line(folder: Path):
    output = pytest_of(folder, "-k", "test_unknown and reference", "--tb=short")
    assert "no environment 'acme/Nothing-v1'." in output
    assert "Traceback" not in output


def test_the_plugin_imports_nothing_for_those_who_do_not_use_it():
    program = (
        "import sys; import palestra.pytest_plugin as plugin; "
        "plugin.pytest_terminal_summary(None); "
        "heavy = {'gymnasium', 'numpy', 'palestra.testing', 'pluggy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
