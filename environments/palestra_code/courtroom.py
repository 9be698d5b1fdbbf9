"""The judge's process, seen from the grader: one for each process, forking for every verdict."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from typing import Any

from palestra.errors import GraderFailed
from palestra_code import judge
from palestra_code.cases import CodeCase
from palestra_code.session import OtherValue, ProgramFailed, Session

_GRACE_S = 2.0
_lock = threading.Lock()
_server: socket.socket | None = None


def passes(case: CodeCase, session: Session) -> tuple[bool, str]:
    """Judge the program of an open session; return whether it passes, and why not.

    Raises:
        GraderFailed: the test itself cannot be run.
    """
    ours, theirs = socket.socketpair()
    with ours:
        _hand_over(theirs)
        allowed = 2 * session.limits.timeout_s + _GRACE_S
        ours.settimeout(allowed + _GRACE_S)
        asked = {"code": case.code, "entry_point": case.entry_point, "timeout_s": allowed}
        try:
            judge.send(ours, asked)
            while True:
                said = judge.receive(ours)
                if "call" not in said:
                    break
                judge.send(ours, _answer(said, session))
        except OSError:  # it ended itself: what the program gave was too much for the test
            return False, "the test did not come to an end"
    if "fault" in said:
        raise GraderFailed(f"the test cannot be run: {said['fault']}")
    return bool(said["passed"]), str(said.get("reason", ""))


def _answer(said: dict[str, Any], session: Session) -> dict[str, object]:
    try:
        value = session.call(said["call"], said["args"].encode(), said["kwargs"].encode())
    except OtherValue as exc:
        return {"error": str(exc), "true": exc.true}
    except ProgramFailed as exc:
        return {"error": str(exc)}
    return {"value": value.decode("utf-8", "replace")}


def _hand_over(theirs: socket.socket) -> None:
    """Give the judge one end of a connection; start the judge where there is none."""
    global _server
    with _lock, theirs:
        for _ in range(2):
            if _server is None:
                _server = _start()
            try:
                socket.send_fds(_server, [b"j"], [theirs.fileno()])
                return
            except OSError:
                _server = None
    raise GraderFailed("the judge's process does not stay alive")


def _start() -> socket.socket:
    ours, theirs = socket.socketpair()
    with theirs:
        line = [sys.executable, "-m", "palestra_code.judge", str(theirs.fileno())]
        paths = os.pathsep.join(path for path in sys.path if path)
        subprocess.Popen(
            line,
            pass_fds=(theirs.fileno(),),
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return ours


def _forget() -> None:
    """A fork asks for a judge of its own: two that talk to one would mix up."""
    global _server, _lock
    _server, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
