"""math-verify, for references that our own reader does not know: sums, integrals, set algebra.

Model text never reaches a simplifier in the caller's process: a child runs it, the clock starts
when the work does, and a child that is late is killed and replaced. No reference that
`palestra_math.structure` reads comes here, so a policy cannot choose this road.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import subprocess
import sys
import threading
from functools import cache
from queue import Empty, Queue
from typing import IO

DEADLINE_S = 0.8
START_S = 60.0
_CHILD = """
import json, sys, logging
logging.disable(logging.CRITICAL)
from math_verify import parse, verify
out, sys.stdout = sys.stdout, sys.stderr
parse("$x$", parsing_timeout=None)
print("ready", file=out, flush=True)
for line in sys.stdin:
    left, right = json.loads(line)
    try:
        gold, given = (parse(f"${t}$", parsing_timeout=None) for t in (left, right))
        said = bool(gold and given and verify(gold, given, timeout_seconds=None, strict=True))
        known = any(not isinstance(g, str) for g in gold)
        word = "same" if said else "different" if known else "unknown"
    except BaseException:
        word = "unknown"
    print(json.dumps(word), file=out, flush=True)
"""


@cache
def available() -> bool:
    """Whether math-verify is installed."""
    return importlib.util.find_spec("math_verify") is not None


class Late(Exception):
    """math-verify did not answer in time."""


class Broken(Exception):
    """math-verify's process does not start, or died."""


class _Child:
    """One process with math-verify loaded, and a thread that hands over its lines."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
        )
        self._lines: Queue[str] = Queue()
        assert self._process.stdout is not None
        threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True).start()
        if not self._lines.get(timeout=START_S):
            raise OSError("it does not start")

    def _listen(self, stdout: IO[str]) -> None:
        for line in stdout:
            self._lines.put(line)
        self._lines.put("")

    def ask(self, reference: str, answer: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([reference, answer]) + "\n")
        self._process.stdin.flush()
        line = self._lines.get(timeout=DEADLINE_S)
        if not line:
            raise OSError("it died")
        return json.loads(line)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


_lock = threading.Lock()
_children: list[_Child] = []


def verdict(reference: str, answer: str) -> str:
    """Return ``same``, ``different`` or ``unknown``, as math-verify says.

    Raises:
        Late: it took longer than `DEADLINE_S`; the child was killed.
        Broken: the child does not start, or died.
    """
    with _lock:
        try:
            if not _children:
                _children.append(_Child())
            return _children[0].ask(reference, answer)
        except Empty as exc:
            _close()
            raise Late(f"math-verify did not answer in {DEADLINE_S} s") from exc
        except (OSError, ValueError) as exc:
            _close()
            raise Broken(f"math-verify's process failed: {exc}") from exc


@atexit.register
def _close() -> None:
    while _children:
        _children.pop().kill()


def _forget() -> None:
    """In a forked process: the child and the lock are the parent's."""
    global _lock
    _lock = threading.Lock()
    _children.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
