"""Environments in processes of their own: a hang, a crash, or an `os._exit` stays there.

`IsolatedEnv` behaves as the environment it stands for. What differs is what cannot be helped: a
grader that does not answer in time is killed, and its episode ends with the status ``timeout``; one
that takes its process down ends with ``error``. Neither is a wrong answer. The worker is replaced,
and the other episodes that it held are played again up to where they were.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from itertools import count
from typing import Any, cast

from palestra.envs.env import Info, TextEnv
from palestra.envs.score import Status
from palestra.envs.task import Message, Task
from palestra.errors import ConfigError, EnvironmentFailed
from palestra.grading.channel import Channel, ChannelClosed
from palestra.grading.worker import as_task, raised
from palestra.plugins.registry import Kind, Registry
from palestra.plugins.specs import EnvironmentSpec
from palestra.splits import Split

OPEN_TIMEOUT_S = 120.0
"""Seconds that the import, and then the making, of an environment may take."""

RESET_TIMEOUT_S = 60.0
"""Seconds that a reset may take."""

_GRACE_S = 5.0  # for the fork server, which does next to nothing


class IsolatedEnv(TextEnv):
    """An environment whose code runs in a worker process.

    Args:
        worker: the process, shared by the episodes of one source.
    """

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker
        self.env_id = worker.env_id
        self.difficulties = worker.difficulties
        self.max_turns = worker.max_turns
        self.step_timeout_s = worker.step_timeout_s
        self._episode = worker.new_episode()
        self._generation = -1
        self._start: dict[str, Any] | None = None
        self._actions: list[str] = []
        self._last: Info = {}
        weakref.finalize(self, worker.forget, self._episode)

    def __copy__(self) -> IsolatedEnv:
        """Return an environment for another episode, in the same worker."""
        return IsolatedEnv(self._worker)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, Info]:
        """Begin an episode; as `TextEnv.reset`.

        Raises:
            ConfigError: an unknown option, or a value out of range.
            EnvironmentFailed: it raised, hung, or took its process down.
        """
        given = options or {}
        if seed is None and "index" not in given and "task_id" not in given:
            seed = int(self.np_random.integers(0, 2**63 - 1))  # so that it can be played again
        self._start = {"seed": seed, "options": given}
        self._actions = []
        answer = self._reset()
        self.task = as_task(answer["task"])
        self._last = answer["info"]
        return str(answer["observation"]), dict(self._last)

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        """Take the policy's whole turn; as `TextEnv.step`, and never raises for a grader."""
        if self.task is None or self._start is None:
            return super().step(action)  # which says what is wrong
        try:
            if self._generation != self._worker.generation:
                self._replay()
            answer = self._call("step", self.step_timeout_s, action=action)
        except _Lost as lost:
            return self._failed(action, lost.status, str(lost))
        self._actions.append(action)
        self._last = answer["info"]
        if answer["terminated"] or answer["truncated"]:
            self.task = None
        return (
            str(answer["observation"]),
            float(answer["reward"]),
            bool(answer["terminated"]),
            bool(answer["truncated"]),
            dict(self._last),
        )

    def reference_completion(self, task: Task) -> str | None:
        """Return a completion that earns the maximum, of the task that was reset to last."""
        if self.task is None or task.id != self.task.id:
            raise EnvironmentFailed(f"{self.env_id}: reset to the task before its reference")
        try:
            return self._call("reference", RESET_TIMEOUT_S)["completion"]
        except _Lost as lost:
            raise EnvironmentFailed(f"{self.env_id}: reference_completion: {lost}") from lost

    def count(self, split: Split, language: str | None = None) -> int | None:
        """Return the number of tasks of a split, or None where they are sampled."""
        try:
            asked = {"op": "count", "split": split, "language": language}
            return self._worker.call(asked, RESET_TIMEOUT_S)["count"]
        except _Lost as lost:
            raise EnvironmentFailed(f"{self.env_id}: tasks of split '{split}': {lost}") from lost

    def _call(self, op: str, timeout_s: float, **fields: object) -> dict[str, Any]:
        return self._worker.call({"op": op, "episode": self._episode, **fields}, timeout_s)

    def _reset(self) -> dict[str, Any]:
        assert self._start is not None
        try:
            answer = self._call("reset", RESET_TIMEOUT_S, **self._start)
        except _Lost as lost:
            raise EnvironmentFailed(f"{self.env_id}: reset: {lost}") from lost
        self._generation = self._worker.generation
        return answer

    def _replay(self) -> None:
        """Bring the episode back to where it was when its worker was lost."""
        if not self._worker.deterministic:
            raise _Lost("its process was lost, and it cannot be played again", Status.ERROR)
        self._reset()
        for action in self._actions:
            self._call("step", self.step_timeout_s, action=action)

    def _failed(
        self, action: str, status: Status, reason: str
    ) -> tuple[str, float, bool, bool, Info]:
        assert self.task is not None
        what = f"{self.env_id}: grade of task {self.task.id}: {reason}"
        self.task = None
        said: list[Message] = [*self._last["messages"], {"role": "assistant", "content": action}]
        info = self._last | {
            "messages": said,
            "stop_reason": "terminated",
            "reward_components": {},
            "reward_status": str(status),
            "reward_valid": False,
            "extracted_answer": None,
            "reason": what,
        }
        return "", 0.0, True, False, info


class _Lost(Exception):
    """A worker did not answer, and is gone."""

    def __init__(self, text: str, status: Status) -> None:
        super().__init__(text)
        self.status = status


class Worker:
    """A worker process of one environment, and the fork server that replaces it when it is lost.

    Args:
        env_id: the environment.
        kwargs: arguments of its constructor; plain data.
        plugins: local plugin files that the process has to load first.
        deterministic: whether an episode can be played again.

    Raises:
        PalestraError: the environment cannot be imported or made, as its own process says.
    """

    def __init__(
        self, env_id: str, kwargs: Mapping[str, object], plugins: list[str], deterministic: bool
    ) -> None:
        self.env_id = env_id
        self.deterministic = deterministic
        self.generation = 0
        self._lock = threading.Lock()
        self._numbers = count()
        self._closing: list[int] = []
        ours, theirs = socket.socketpair()
        with theirs:
            self._host = subprocess.Popen(
                [sys.executable, "-m", "palestra.grading.host", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._socket, self._control = ours, Channel(ours)
        self._finalizer = weakref.finalize(self, _end, self._host, ours)
        self._channel: Channel | None = None
        self._pid = 0
        self._ask_host({"env_id": env_id, "kwargs": dict(kwargs), "plugins": plugins})
        self._begin()

    def new_episode(self) -> int:
        """Return a number for one more episode."""
        return next(self._numbers)

    def forget(self, episode: int) -> None:
        """Have the worker drop an episode, at the next call (this one may come from anywhere)."""
        self._closing.append(episode)

    def call(self, message: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Ask the worker, and return its answer.

        Raises:
            PalestraError: what the environment raised.
            _Lost: it did not answer within `timeout_s` seconds, or its process ended; it is gone.
        """
        with self._lock:
            self._close_forgotten()
            assert self._channel is not None
            try:
                self._channel.send(message, timeout_s)
                answer = self._channel.receive(timeout_s)
            except TimeoutError:
                self._replace()
                raise _Lost(f"no answer within {timeout_s:g} s", Status.TIMEOUT) from None
            except ChannelClosed as exc:
                self._replace()
                raise _Lost(f"its process was lost: {exc}", Status.ERROR) from None
            except BaseException:  # Ctrl-C in the middle: what comes next would be its answer
                self._replace()
                raise
        if "error" in answer:
            raise raised(answer)
        return answer

    def close(self) -> None:
        """End the worker and its fork server."""
        self._finalizer()

    def _close_forgotten(self) -> None:
        assert self._channel is not None
        try:
            while self._closing:
                self._channel.send({"op": "close", "episode": self._closing.pop()}, _GRACE_S)
                self._channel.receive(_GRACE_S)
        except (TimeoutError, ChannelClosed):
            self._replace()

    def _begin(self) -> None:
        """Have a worker forked, and wait until it has made its environment."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._control.send({"op": "fork"}, _GRACE_S)
            socket.send_fds(self._socket, [b"+"], [theirs.fileno()])
        self._pid = self._control.receive(_GRACE_S)["pid"]
        self._channel = Channel(ours)
        try:
            facts = self._channel.receive(OPEN_TIMEOUT_S)
        except (TimeoutError, ChannelClosed) as exc:
            raise EnvironmentFailed(f"{self.env_id}: cannot be made: {exc}") from exc
        if "error" in facts:
            raise raised(facts)
        low, high = facts["difficulties"]
        self.difficulties: tuple[int, int] = (low, high)
        self.max_turns = int(facts["max_turns"])
        self.step_timeout_s = float(facts["step_timeout_s"])

    def _replace(self) -> None:
        """Kill the worker, and begin another."""
        assert self._channel is not None
        self._channel.close()
        self._control.send({"op": "kill", "pid": self._pid}, _GRACE_S)
        self._control.receive(_GRACE_S)
        self.generation += 1
        self._begin()

    def _ask_host(self, message: dict[str, Any]) -> None:
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


def _end(host: subprocess.Popen[bytes], control: socket.socket) -> None:
    """Close the fork server's socket: it kills its workers and ends; an import may hang, though."""
    control.close()
    try:
        host.wait(1.0)
    except subprocess.TimeoutExpired:
        host.kill()
        host.wait()


_workers: dict[tuple[object, ...], Worker] = {}
_workers_lock = threading.Lock()


def open_env(registry: Registry, env_id: str, kwargs: Mapping[str, object]) -> TextEnv:
    """Make an environment, in a worker where its plugin's spec asks for ``isolation: process``.

    Episodes of one environment with the same arguments share a worker, which lives as long as
    this process.

    Raises:
        PalestraError: as `Registry.make_env`.
    """
    spec = cast("EnvironmentSpec", registry.find(Kind.ENVIRONMENT, env_id).spec)
    if spec.isolation != "process":
        return registry.make_env(env_id, **kwargs)
    try:
        arguments = json.dumps(kwargs, sort_keys=True)
    except TypeError as exc:
        raise ConfigError(
            f"{env_id}: the arguments of an environment are plain data: {exc}"
        ) from exc
    files = [str(path) for path in registry.local_files]
    key = (env_id, arguments, tuple((f, _stamp(f)) for f in files), os.getpid())
    with _workers_lock:
        if key not in _workers:
            _workers[key] = Worker(env_id, kwargs, files, spec.deterministic)
        return IsolatedEnv(_workers[key])


def _stamp(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0


@atexit.register
def close_workers() -> None:
    """End every worker of this process."""
    with _workers_lock:
        for worker in _workers.values():
            worker.close()
        _workers.clear()
