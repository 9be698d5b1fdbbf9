"""The same against the real cloud, where there is a key: it costs a fraction of a cent."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

pytest.importorskip("e2b_code_interpreter", reason="needs palestra[e2b]")

from palestra.grading.sandbox import Command, Limits
from palestra_e2b.sandbox import E2BSandbox
from palestra_e2b.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("E2B_API_KEY"), reason="E2B_API_KEY is not set"),
]


@pytest.fixture(scope="module")
def box() -> Iterator[E2BSandbox]:
    sandbox = E2BSandbox(Settings(machines=1))
    yield sandbox
    sandbox.close()
    assert sandbox.facts()["e2b/dollars"] < 0.05


def run(box: E2BSandbox, source: str, stdin: bytes = b"", timeout_s: float = 30.0) -> bytes:
    command = Command(argv=("python3", "-I", "-S", "-c", source))
    return box.run(command, Limits(timeout_s=timeout_s), stdin).stdout


def test_every_byte_comes_back_as_it_was_written(box: E2BSandbox) -> None:
    everything = bytes(range(256)) * 257
    source = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    assert run(box, source, everything) == everything


def test_a_program_is_alone_in_the_machine(box: E2BSandbox) -> None:
    source = "import os; print(os.getuid() > 0, sum(n.isdigit() for n in os.listdir('/proc')))"
    assert run(box, source) == b"True 2\n"
    source = "import socket\ntry: socket.create_connection(('1.1.1.1', 53), 3)\nexcept OSError: print('no')"
    assert run(box, source) == b"no\n"


def test_a_hang_is_ended_and_a_machine_that_was_killed_is_made_anew(box: E2BSandbox) -> None:
    assert run(box, "while True: pass", timeout_s=2.0) == b""
    for machine in list(box._pool._machines):
        machine.remote.kill()
    assert run(box, "print(1)") == b"1\n"
    assert box.facts()["e2b/machines"] == 2
