"""Killable workers: the processes that hold other people's environments, and their fork server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from palestra.envs.score import Status
from palestra.errors import EnvironmentFailed
from palestra.grading.channel import Channel, ChannelClosed
from palestra.grading.worker import raised

OPEN_TIMEOUT_S = 120.0
"""Seconds that the import, and then the making, of an environment may take."""

WORKERS = max(1, min(4, os.cpu_count() or 1))
"""Workers that one environment may have: gradings that go on at the same time."""

_GRACE_S = 5.0  # for the fork server, which does next to nothing


class Lost(Exception):
    """A worker did not answer, and is gone.

    Attributes:
        status: how the grading ended: ``timeout`` or ``error``.
    """

    def __init__(self, text: str, status: Status) -> None:
        super().__init__(text)
        self.status = status


class Stale(Exception):
    """The worker was replaced since, and does not know the episode."""


class Pool:
    """The workers of one environment; as many as there are episodes at once, up to `WORKERS`.

    Args:
        env_id: the environment.
        kwargs: arguments of its constructor; plain data.
        plugins: local plugin files that the processes have to load first.
        deterministic: whether an episode can be played again.

    Raises:
        PalestraError: the environment cannot be imported or made, as its own process says.
    """

    def __init__(
        self, env_id: str, kwargs: Mapping[str, object], plugins: list[str], deterministic: bool
    ) -> None:
        self.env_id = env_id
        self.deterministic = deterministic
        self._lock = threading.Lock()
        self._episodes = 0
        self._host = _Host(env_id, kwargs, plugins)
        self._workers = [Worker(self._host)]

    def place(self) -> tuple[Worker, int]:
        """Return the worker for one more episode, and the episode's number there."""
        with self._lock:
            number = self._episodes
            self._episodes += 1
            if number and len(self._workers) < WORKERS:
                self._workers.append(Worker(self._host))
            return self._workers[number % len(self._workers)], number

    def close(self) -> None:
        """End the workers and their fork server."""
        self._host.close()


class Worker:
    """A worker process, replaced whenever it is lost.

    Args:
        host: forks it, and kills it.

    Attributes:
        generation: how often it was replaced: an episode of an older one is gone.
        facts: what it said of its environment.
    """

    def __init__(self, host: _Host) -> None:
        self.generation = 0
        self._host = host
        self._lock = threading.Lock()
        self._closing: list[int] = []
        self._begin()

    def forget(self, episode: int) -> None:
        """Have the worker drop an episode, at the next call (this one may come from anywhere)."""
        self._closing.append(episode)

    def call(
        self, message: dict[str, Any], timeout_s: float, generation: int | None = None
    ) -> dict[str, Any]:
        """Ask the worker, and return its answer, with the ``generation`` that gave it.

        Raises:
            Stale: the worker is not of the asked `generation` any more.
            PalestraError: what the environment raised.
            Lost: it did not answer within `timeout_s` seconds, or its process ended; it is gone.
        """
        with self._lock:
            self._close_forgotten()
            if generation not in (None, self.generation):
                raise Stale
            try:
                self._channel.send(message, timeout_s)
                answer = self._channel.receive(timeout_s) | {"generation": self.generation}
            except TimeoutError:
                self._replace()
                raise Lost(f"no answer within {timeout_s:g} s", Status.TIMEOUT) from None
            except ChannelClosed as exc:
                self._replace()
                raise Lost(f"its process was lost: {exc}", Status.ERROR) from None
            except BaseException:  # Ctrl-C in the middle: what comes next would be its answer
                self._replace()
                raise
        if "error" in answer:
            raise raised(answer)
        return answer

    def _close_forgotten(self) -> None:
        try:
            while self._closing:
                self._channel.send({"op": "close", "episode": self._closing.pop()}, _GRACE_S)
                self._channel.receive(_GRACE_S)
        except (TimeoutError, ChannelClosed):
            self._replace()

    def _begin(self) -> None:
        """Have a process forked, and wait until it has made its environment."""
        self._pid, self._channel = self._host.fork()
        try:
            self.facts = self._channel.receive(OPEN_TIMEOUT_S)
        except (TimeoutError, ChannelClosed) as exc:
            raise EnvironmentFailed(f"{self._host.env_id}: cannot be made: {exc}") from exc
        if "error" in self.facts:
            raise raised(self.facts)

    def _replace(self) -> None:
        """Kill the process, and begin another."""
        self._channel.close()
        self._host.kill(self._pid)
        self.generation += 1
        self._begin()


class _Host:
    """The fork server's process, `palestra.grading.host`, and what it is told."""

    def __init__(self, env_id: str, kwargs: Mapping[str, object], plugins: list[str]) -> None:
        self.env_id = env_id
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "palestra.grading.host", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._socket, self._control = ours, Channel(ours)
        self.close = weakref.finalize(self, _end, self._process, ours)
        self._open({"env_id": env_id, "kwargs": dict(kwargs), "plugins": plugins})

    def fork(self) -> tuple[int, Channel]:
        """Return a new worker's process number, and the channel to it."""
        with self._lock, self._naming_its_end():
            ours, theirs = socket.socketpair()
            with theirs:
                self._control.send({"op": "fork"}, _GRACE_S)
                socket.send_fds(self._socket, [b"+"], [theirs.fileno()])
            return self._control.receive(_GRACE_S)["pid"], Channel(ours)

    def kill(self, pid: int) -> None:
        """End a worker with all that it started."""
        with self._lock, self._naming_its_end():
            self._control.send({"op": "kill", "pid": pid}, _GRACE_S)
            self._control.receive(_GRACE_S)

    @contextmanager
    def _naming_its_end(self) -> Generator[None]:
        """Say what is wrong where the fork server itself is gone: short of memory, say."""
        try:
            yield
        except OSError as exc:  # ChannelClosed and TimeoutError are among them
            code = self._process.poll()
            raise EnvironmentFailed(
                f"{self.env_id}: the process that starts its workers was lost "
                f"(exit code {code}): {exc}"
            ) from exc

    def _open(self, message: dict[str, Any]) -> None:
        try:
            self._control.send(message, _GRACE_S)
            answer = self._control.receive(OPEN_TIMEOUT_S)
        except TimeoutError:
            what = f"it was not imported within {OPEN_TIMEOUT_S:g} s"
            raise EnvironmentFailed(f"{self.env_id}: {what}") from None
        except ChannelClosed as exc:
            raise EnvironmentFailed(f"{self.env_id}: its import ended the process") from exc
        if "error" in answer:
            raise raised(answer)


def _end(process: subprocess.Popen[bytes], control: socket.socket) -> None:
    """Close the fork server's socket: it kills its workers and ends; an import may hang, though."""
    control.close()
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
