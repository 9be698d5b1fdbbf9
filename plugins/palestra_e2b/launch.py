"""A script for the machine in the cloud: confine one program there, and carry its bytes.

    python3 -I -S launch.py [--check]

Its standard input begins with a length and so many bytes of JSON: what to run. What follows is the
program's input. The program's output is written as lines of base64, because what comes from a
machine arrives as text. One machine serves many programs, one after the other and side by side, so
each is confined as on a machine of our own: `palestra_sandboxes` lies beside this file. It needs
the standard library alone.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE))
from palestra_sandboxes import root, seccomp  # noqa: E402

_CHUNK = 3 << 14  # a multiple of three, so that no line is padded but a short one


def main() -> None:
    """Run one program, and end as it did."""
    size = int.from_bytes(_exactly(4), "big")
    asked: dict[str, Any] = json.loads(_exactly(size))
    _fall_first()
    stderr = sys.stderr.fileno() if "--check" in sys.argv else subprocess.DEVNULL
    with _plan(asked) as descriptor:
        script = _HERE / "palestra_sandboxes" / "confine.py"
        line = [sys.executable, "-I", "-S", str(script), str(descriptor)]
        child = subprocess.Popen(
            line, stdin=0, stdout=subprocess.PIPE, stderr=stderr, pass_fds=(descriptor,)
        )
    os.close(0)
    assert child.stdout is not None
    while chunk := os.read(child.stdout.fileno(), _CHUNK):
        _write(base64.b64encode(chunk) + b"\n")
    code = child.wait()
    os._exit(code if code >= 0 else 128 - code)


@contextlib.contextmanager
def _plan(asked: dict[str, Any]) -> Any:
    """Yield a descriptor that holds what `palestra_sandboxes.confine` is to do."""
    seen = root.visible_root()
    filter_ = seccomp.program()
    argv: list[str] = asked["argv"]
    plan = {
        "binds": seen.binds,
        "links": seen.links,
        "masked": seen.masked,
        "work": root.WORK,
        "work_bytes": asked["file_bytes"],
        "files": asked["files"],
        "uid": root.spare_uid(os.getpid()),
        "ids": [os.geteuid(), os.getegid()],
        "memory": asked["memory_bytes"],
        "processes": asked["processes"],
        "seccomp": None if filter_ is None else base64.b64encode(filter_).decode(),
        "env": seen.env,
        "argv": [seen.python if argv[0] == "python3" else argv[0], *argv[1:]],
    }
    descriptor = os.memfd_create("plan")
    try:
        os.write(descriptor, json.dumps(plan).encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _fall_first() -> None:
    """Where memory runs out, have the system end this program and not what serves the machine."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _exactly(count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = os.read(0, min(count, 1 << 20))
        if not part:
            sys.exit("the request is cut short")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


if __name__ == "__main__":
    main()
