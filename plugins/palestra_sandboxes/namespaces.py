"""Confinement by namespaces of our own, where bubblewrap is not installed.

The work is done by `palestra_sandboxes.confine`, a script that a fresh interpreter runs.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from palestra.grading.sandbox import Command, Limits
from palestra_sandboxes import seccomp
from palestra_sandboxes.root import WORK, Root, spare_uid

_SCRIPT = Path(__file__).with_name("confine.py")


def missing() -> str:
    """Return what is not there, or an empty string."""
    return "" if sys.platform == "linux" else "Linux"


@contextmanager
def prepared(
    command: Command, limits: Limits, root: Root, number: int
) -> Generator[tuple[list[str], tuple[int, ...]]]:
    """Yield the command line that runs `command` confined, and the descriptors it needs."""
    program = root.python if command.argv[0] == "python3" else command.argv[0]
    filter_ = seccomp.program()
    plan = {
        "binds": root.binds,
        "links": root.links,
        "masked": root.masked,
        "work": WORK,
        "work_bytes": limits.file_mb << 20,
        "files": {n: base64.b64encode(c).decode() for n, c in command.files.items()},
        "uid": spare_uid(number),
        "ids": [os.geteuid(), os.getegid()],
        "memory": None if limits.memory_mb is None else limits.memory_mb << 20,
        "processes": limits.processes,
        "seccomp": None if filter_ is None else base64.b64encode(filter_).decode(),
        "env": root.env,
        "argv": [program, *command.argv[1:]],
    }
    descriptor = os.memfd_create("plan")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(json.dumps(plan).encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield [sys.executable, "-I", "-S", str(_SCRIPT), str(descriptor)], (descriptor,)
    finally:
        os.close(descriptor)
