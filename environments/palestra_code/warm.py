"""Sessions that are started before they are wanted, so that no program waits for an interpreter.

Each is used for one program and thrown away; when one is taken, the next is started.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque

from palestra.grading.sandbox import Limits, get_sandbox
from palestra_code.session import Session

_Key = tuple[str, Limits]
_MOST = max(2, os.cpu_count() or 1)  # of one kind
_KINDS = 4  # pairs of sandbox and limits
_lock = threading.Lock()
_waiting: dict[_Key, deque[Session]] = {}


def take(sandbox: str, limits: Limits) -> Session:
    """Return a session that nothing has run in, and start the one that comes after it.

    Whoever takes it closes it.
    """
    place = get_sandbox(sandbox)
    key = (sandbox, limits)
    with _lock:
        waiting = _waiting.pop(key, deque[Session]())
        _waiting[key] = waiting  # now the latest
        taken = waiting.popleft() if waiting else None
        wanted = len(waiting) < _MOST
    if wanted:
        fresh = Session(place, limits)
        with _lock:
            _waiting.setdefault(key, deque()).append(fresh)
        _forget_oldest()
    return taken or Session(place, limits)


def _forget_oldest() -> None:
    """End what waits for limits that nobody asked for of late."""
    with _lock:
        oldest = [_waiting.pop(key) for key in list(_waiting)[:-_KINDS]]
    for session in (each for sessions in oldest for each in sessions):
        session.close()


def close() -> None:
    """End every session that waits."""
    with _lock:
        sessions = [session for each in _waiting.values() for session in each]
        _waiting.clear()
    for session in sessions:
        session.close()


def _forget() -> None:
    """A fork must not share its parent's sessions."""
    global _lock
    _lock = threading.Lock()
    _waiting.clear()


atexit.register(close)
os.register_at_fork(after_in_child=_forget)
