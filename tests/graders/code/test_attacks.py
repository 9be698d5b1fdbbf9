"""Every program of the catalogue earns nothing, stops in time, and leaves no trace.

Each attack meets all four forms of tests at once. What is expected is drawn anew in every run, so
no program can know it; and a canary file, a listener on this machine and the list of processes
show whether one got out.
"""

from __future__ import annotations

import ast
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from palestra_code import run_tests

ATTACKS = sorted(Path(__file__).with_name("attacks").glob("*.py"))
SURVIVOR = b"1000.31337"  # the argument of the sleepers that attacks leave behind
TIMEOUT_S = 1.0
TESTS = 5


@dataclass(frozen=True)
class Scene:
    """What the attacks are after."""

    token: str
    canary: Path
    listener: socket.socket
    datagrams: socket.socket

    @property
    def tests(self) -> list[dict[str, object]]:
        t = self.token
        return [
            {
                "check": f"def check(candidate):\n    assert candidate(3) == ['{t}', 3]\n    assert candidate(4) == ['{t}', 4]\n",
                "entry_point": "solve",
            },
            {"assert": f"assert solve(3) == ['{t}', 3]"},
            {"function": "solve", "args": [3], "expected": [t, 3]},
            {"stdin": "3\n", "stdout": f"{t}\n3\n"},
            {
                "check": f"def check(candidate):\n    assert abs(candidate(3)[1] - 3) < 1e-9 and candidate(3)[0] == '{t}'\n",
                "entry_point": "solve",
            },
        ]

    def program(self, attack: Path) -> str:
        text = attack.read_text(encoding="utf-8").replace("@CANARY@", str(self.canary))
        port = self.listener.getsockname()[1]
        text = text.replace("@PORT@", str(port)).replace("@TOKEN@", self.token[:8])
        return f"{text}\n# solve\n"  # a program without the name would not be run at all


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    token = "token" + secrets.token_hex(8)
    canary = tmp_path_factory.mktemp("canary") / "canary"
    canary.write_text(repr([token, 3]))
    for parent in (canary, *list(canary.parents)[:3]):  # so that only the sandbox is in the way
        parent.chmod(0o777)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(listener.getsockname())
            datagrams.setblocking(False)
            yield Scene(token, canary, listener, datagrams)


def command_lines() -> list[bytes]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes())
        except OSError:
            continue
    return lines


def assert_untouched(scene: Scene) -> None:
    assert scene.canary.read_text() == repr([scene.token, 3])
    with pytest.raises(BlockingIOError):
        scene.listener.accept()
    with pytest.raises(BlockingIOError):
        scene.datagrams.recv(100)


def test_the_catalogue_is_there_and_every_file_says_what_it_tries() -> None:
    assert len(ATTACKS) >= 90
    for attack in ATTACKS:
        doc = ast.get_docstring(ast.parse(attack.read_text(encoding="utf-8")))
        assert doc, attack.name
        assert doc.endswith("."), attack.name


def test_an_honest_program_earns_all(scene: Scene) -> None:
    program = f"def solve(n):\n    return ['{scene.token}', n]\n\n\nif __name__ == '__main__':\n    print('{scene.token}', input(), sep='\\n')\n"
    score = run_tests(program, scene.tests, timeout_s=30.0, reward="fraction")
    assert score.value == 1.0, score.reason


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda path: path.stem)
def test_an_attack_earns_nothing(attack: Path, scene: Scene) -> None:
    begun = time.monotonic()
    score = run_tests(
        scene.program(attack), scene.tests, timeout_s=TIMEOUT_S, memory_mb=256, reward="fraction"
    )
    took = time.monotonic() - begun
    assert score.value == 0.0, score
    assert str(score.status) == "ok", score  # no program may choose to go ungraded
    assert took < TESTS * (TIMEOUT_S + 10.0), f"{took:.1f} s"
    assert_untouched(scene)


ESCAPES = (
    "abstract_socket",
    "connect_out",
    "escape_mount",
    "fork_bomb",
    "kill_all",
    "kill_init",
    "proc_root",
    "ptrace_parent",
    "read_canary",
    "read_parent_memory",
    "setuid_root",
    "symlink_out",
    "vsock_out",
    "walk_disk",
    "write_canary",
)


@pytest.mark.parametrize("name", ESCAPES)
def test_an_escape_fails_in_each_way_of_confinement(name: str, scene: Scene, confined: str) -> None:
    attack = next(path for path in ATTACKS if path.stem == name)
    score = run_tests(
        scene.program(attack), scene.tests[2:], confined, TIMEOUT_S, reward="fraction"
    )
    assert score.value == 0.0
    assert str(score.status) == "ok", score
    assert_untouched(scene)


def test_nothing_survives_an_attack(scene: Scene) -> None:
    for name in ("fork_survivor", "subprocess_survivor"):
        attack = next(path for path in ATTACKS if path.stem == name)
        run_tests(scene.program(attack), scene.tests, timeout_s=TIMEOUT_S)
    deadline = time.monotonic() + 10.0
    while any(SURVIVOR in line for line in command_lines()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [line for line in command_lines() if SURVIVOR in line]


def test_a_program_that_breaks_everything_changes_nothing_for_the_next(scene: Scene) -> None:
    honest = f"def solve(n):\n    return ['{scene.token}', n]\n"
    for name in ("kill_all", "sitecustomize", "replace_driver", "fork_bomb", "patch_plain"):
        attack = next(path for path in ATTACKS if path.stem == name)
        run_tests(scene.program(attack), scene.tests[:1], timeout_s=TIMEOUT_S)
        score = run_tests(honest, scene.tests[:3], timeout_s=30.0)
        assert score.value == 1.0, (name, score)
