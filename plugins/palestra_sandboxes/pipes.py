"""`PipeProcess`: a child process with a pipe at each end, as sandboxes hand it out."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, cast


class PipeProcess:
    """A started child.

    Args:
        child: the process, with pipes for its input and its output, and a session of its own.
        on_end: called once after it has ended, to clean up behind it.
    """

    def __init__(
        self, child: subprocess.Popen[bytes], on_end: Callable[[], None] = lambda: None
    ) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        self._child = child
        self._in = child.stdin.fileno()
        self._out = child.stdout.fileno()
        os.set_blocking(self._in, False)
        self._on_end = on_end
        self._ended = False

    @property
    def pid(self) -> int:
        """The number of the process outside of its sandbox."""
        return self._child.pid

    def write(self, data: bytes, timeout_s: float) -> None:
        """Write all of `data`; see `SandboxProcess`."""
        deadline = time.monotonic() + timeout_s
        rest = memoryview(data)
        while rest:
            if not _ready(self._in, select.POLLOUT, deadline - time.monotonic()):
                raise TimeoutError("it does not read its input")
            with contextlib.suppress(BlockingIOError):
                rest = rest[os.write(self._in, rest[: 1 << 20]) :]

    def close_stdin(self) -> None:
        """Let it see the end of its input."""
        stdin = self._child.stdin
        if stdin is not None and not stdin.closed:
            with contextlib.suppress(OSError):
                stdin.close()

    def read(self, size: int, timeout_s: float) -> bytes:
        """Return some output; see `SandboxProcess`."""
        if not _ready(self._out, select.POLLIN, timeout_s):
            raise TimeoutError("it wrote nothing in time")
        return os.read(self._out, size)

    def end(self, timeout_s: float = 0.0) -> int | None:
        """End it; see `SandboxProcess`."""
        if self._ended:
            return None
        self._ended = True
        ended_itself = self._wait(timeout_s)
        # Not reaped yet, so neither its number nor its group's can be another's by now.
        for end in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                end(self._child.pid, signal.SIGKILL)
        code = self._child.wait()
        self.close_stdin()
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._on_end()
        return code if ended_itself else None

    def _wait(self, timeout_s: float) -> bool:
        """Whether it ends within so long; it stays a zombie until `end` has killed its group."""
        deadline, pause = time.monotonic() + timeout_s, 0.001
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while os.waitid(os.P_PID, self._child.pid, flags) is None:
            left = deadline - time.monotonic()
            if left <= 0.0:
                return False
            time.sleep(min(pause, left))
            pause = min(pause * 2, 0.02)
        return True


def _ready(descriptor: int, event: int, timeout_s: float) -> bool:
    """Wait for a descriptor; `select` would refuse those above 1,023."""
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(max(0.0, timeout_s) * 1000))


def spawn(
    argv: list[str], *, pass_fds: tuple[int, ...] = (), env: Mapping[str, str], **options: Any
) -> subprocess.Popen[bytes]:
    """Start a child from the one thread that starts them all.

    Linux kills a child that asked to die with its parent when the *thread* that started it ends,
    so no grader's short-lived thread may start one.
    """
    future: Future[subprocess.Popen[bytes]] = Future()
    pipe = subprocess.PIPE
    options = {"stderr": subprocess.DEVNULL, "start_new_session": True, **options}

    def start() -> None:
        try:
            child = subprocess.Popen(
                argv, 0, stdin=pipe, stdout=pipe, pass_fds=pass_fds, env=dict(env), **options
            )
            future.set_result(cast("subprocess.Popen[bytes]", child))
        except BaseException as exc:
            future.set_exception(exc)

    _starter().put(start)
    return future.result()


_lock = threading.Lock()
_queues: dict[int, queue.SimpleQueue[Callable[[], None]]] = {}  # by process: a fork has no thread


def _starter() -> queue.SimpleQueue[Callable[[], None]]:
    with _lock:
        if os.getpid() not in _queues:
            waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
            threading.Thread(target=_serve, args=(waiting,), daemon=True, name="sandbox").start()
            _queues[os.getpid()] = waiting
        return _queues[os.getpid()]


def _serve(waiting: queue.SimpleQueue[Callable[[], None]]) -> None:
    while True:
        waiting.get()()
