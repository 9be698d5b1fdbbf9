"""The fork server: ``python -m palestra.grading.host FD`` imports an environment once, then forks.

A worker that hangs can only be killed, and a new interpreter that imports an environment takes a
second. So this process imports it, does nothing else, and forks a worker whenever it is asked:
milliseconds each. It is the workers' parent, so it alone can kill one and be sure that the number
is not another process's by then, and it leaves no zombie. It ends with the process that made it.

Messages: ``{"op": "open", ...}`` first; then ``{"op": "fork"}`` with a socket beside it, which is
the worker's, and ``{"op": "kill", "pid": N}``.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

from palestra.errors import PalestraError
from palestra.grading.channel import Channel, ChannelClosed

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve on the socket whose descriptor is the first argument."""
    os.dup2(2, 1)  # what a plugin prints is for people, not for whoever reads our output
    connection = socket.socket(fileno=int(sys.argv[1]))
    channel = Channel(connection)
    with contextlib.suppress(ChannelClosed):
        asked = channel.receive()
        with _ending_with(connection):
            answer = _open(asked)
        channel.send(answer)
        _serve(connection, channel, asked)


@contextlib.contextmanager
def _ending_with(connection: socket.socket) -> Generator[None]:
    """End this process when the other end closes, although it is busy importing.

    Not by PR_SET_PDEATHSIG, which speaks of the parent's thread: the one that opened an
    environment may end long before its process does.
    """
    done = threading.Event()

    def watch() -> None:
        poll = select.poll()
        poll.register(connection, select.POLLHUP)
        while not done.is_set():
            if poll.poll(200):
                os._exit(1)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()  # a process with threads is not to be forked


def _open(asked: dict[str, Any]) -> dict[str, Any]:
    """Load the plugins that the other process has, and import the environment."""
    from palestra.grading.worker import failure
    from palestra.plugins.registry import Kind, get_registry

    try:
        registry = get_registry()
        for path in asked["plugins"]:
            registry.add_local(Path(path))
        registry.load(Kind.ENVIRONMENT, asked["env_id"])
    except KeyboardInterrupt:
        raise
    except BaseException as exc:
        return failure(exc)
    return {}


def _serve(connection: socket.socket, channel: Channel, asked: dict[str, Any]) -> None:
    children: set[int] = set()
    try:
        while True:
            message = channel.receive()
            if message["op"] == "fork":
                _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
                pid = _fork(connection, descriptors[0], asked)
                children.add(pid)
                channel.send({"pid": pid})
            elif message["op"] == "kill" and message["pid"] in children:
                _kill(message["pid"])
                children.discard(message["pid"])
                channel.send({})
    finally:
        for pid in children:
            _kill(pid)


def _fork(connection: socket.socket, descriptor: int, asked: dict[str, Any]) -> int:
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(descriptor)
        return pid
    code = 1
    try:
        os.setsid()  # its own group: what it starts is killed with it, and Ctrl-C is not for it
        _die_with_parent()
        connection.close()
        with contextlib.suppress(OSError):  # short of memory, the system takes a worker first
            Path("/proc/self/oom_score_adj").write_text("1000")
        from palestra.grading.worker import serve

        serve(Channel(socket.socket(fileno=descriptor)), asked["env_id"], asked["kwargs"])
        code = 0
    except PalestraError:
        pass
    finally:
        os._exit(code)


def _kill(pid: int) -> None:
    """End a worker, and all that it started in its group."""
    for end in (os.killpg, os.kill):  # the group may not be there yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _die_with_parent() -> None:
    """Have the system kill this worker when the fork server ends, however it ends (Linux only)."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
