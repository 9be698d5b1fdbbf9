"""Programs are graded in the cloud as they are here: right, wrong, hostile, and by a lost machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("e2b_code_interpreter", reason="needs palestra[e2b]")
pytest.importorskip("ipykernel", reason="the local server's machines have a Jupyter kernel")
pytest.importorskip("uvicorn", reason="the local server is an ASGI application")

from palestra.grading import sandbox as sandboxes
from palestra_code import run_tests, warm
from palestra_e2b.sandbox import E2BSandbox
from palestra_e2b.settings import Settings
from tests.e2b.conftest import LocalCloud
from tests.graders.code.test_attacks import ATTACKS, ESCAPES, Scene, assert_untouched, scene

__all__ = ["scene"]

TESTS = [
    {"function": "f", "args": [3], "kwargs": {}, "expected": 9},
    {"assert": "assert f(-2) == 4"},
    {"check": "def check(candidate):\n    assert candidate(5) == 25", "entry_point": "f"},
]
HOSTILE = sorted(
    {*ESCAPES, "flood_stdout", "flood_result", "forge_stdout", "memory_bomb", "ignore_signals"}
    | {"fork_survivor", "daemon_holds_output", "replace_driver", "exit_zero_import", "fill_disk"}
)


@pytest.fixture
def graded(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloud]:
    box = E2BSandbox(Settings(machines=1, patience_s=20.0))
    monkeypatch.setitem(sandboxes._open, "e2b", box)
    yield cloud
    warm.close()
    box.close()


def test_right_and_wrong_programs_are_told_apart(graded: LocalCloud) -> None:
    assert run_tests("def f(n):\n    return n * n\n", TESTS, "e2b").value == 1.0
    half = run_tests("def f(n):\n    return abs(n) * 3\n", TESTS, "e2b", reward="fraction")
    assert half.value == pytest.approx(1 / 3)
    script = run_tests("print(int(input()) ** 2)", [{"stdin": "3\n", "stdout": "9"}], "e2b")
    assert script.value == 1.0


def test_a_machine_that_is_lost_while_it_grades_is_an_error_and_no_wrong_answer(
    graded: LocalCloud,
) -> None:
    program = "import time\ndef f(n):\n    time.sleep(5)\n    return n * n\n"
    assert run_tests("def f(n): return n * n", TESTS, "e2b").value == 1.0

    def kill() -> None:
        time.sleep(2.0)
        graded.control(kill=list(graded.machines()))

    killer = threading.Thread(target=kill)
    killer.start()
    score = run_tests(program, TESTS, "e2b", timeout_s=30.0)
    killer.join()
    assert str(score.status) == "error", score
    assert "a machine was lost" in score.reason
    assert run_tests("def f(n): return n * n", TESTS, "e2b").value == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_an_attack_earns_nothing_and_the_next_program_its_due(
    name: str, graded: LocalCloud, scene: Scene
) -> None:
    (attack,) = (path for path in ATTACKS if path.stem == name)
    score = run_tests(
        scene.program(attack), scene.tests[2:], "e2b", 2.0, memory_mb=256, reward="fraction"
    )
    assert score.value == 0.0, score
    assert str(score.status) == "ok", score  # no program may choose to go ungraded
    assert_untouched(scene)
    honest = f"def solve(n):\n    return ['{scene.token}', n]\n"
    assert run_tests(honest, scene.tests[:2], "e2b", timeout_s=30.0).value == 1.0
