"""Looking at installed plugins in processes of their own, a few at a time, each with a deadline.

An import that hangs, crashes the interpreter, exits, forks or floods stdout costs its own plugin
the state `ok` and nobody else anything: the process is killed with all that it started, and the
distribution's other plugins are looked at in a fresh one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from palestra.plugins.facts import LoadedPlugin, from_json
from palestra.plugins.installed import Installed, Point

DEADLINE_S = 30.0
"""How long the import of one plugin may take."""

AT_ONCE = 2
"""How many processes run at the same time."""

PROBING = "PALESTRA_PROBING"
"""Set in a probe's process: a plugin that asks for the registry must not start a probe again."""

_START = """\
import json, sys
request = json.loads(sys.argv.pop())
sys.path[:] = request["path"]
from palestra.plugins.probe_child import main
main(request)
"""
_POLL_S = 0.05
_TAIL_BYTES = 4096
_TAIL_LINES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A distribution, and those of its plugins that are to be looked at."""

    installed: Installed
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What came of a job.

    Attributes:
        job: the job.
        plugins: the plugins that were looked at, broken ones too.
        unseen: stand for those that no process could look at, which says nothing of them.
    """

    job: Job
    plugins: tuple[LoadedPlugin, ...]
    unseen: tuple[LoadedPlugin, ...]


def probe(jobs: Sequence[Job]) -> Iterator[Probed]:
    """Yield what comes of each job, in the order in which they are done.

    Closing the iterator, or Ctrl-C, kills what still runs.
    """
    waiting = [_Run(job) for job in reversed(jobs)]
    running: list[_Run] = []
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < AT_ONCE:
                    running.append(waiting.pop())
                    running[-1].start(selector)
                for key, _ in selector.select(_POLL_S):
                    key.data()
                for run in [run for run in running if run.is_over()]:
                    run.stop()
                    if run.rest:
                        run.start(selector)
                    else:
                        running.remove(run)
                        yield Probed(
                            job=run.job, plugins=tuple(run.plugins), unseen=tuple(run.unseen)
                        )
        finally:
            for run in running:
                run.stop()


class _Run:
    """A job's processes, one after the other: the next one looks at what the last one left."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.plugins: list[LoadedPlugin] = []
        self.unseen: list[LoadedPlugin] = []
        self.rest = list(job.points)
        self._child: _Child | None = None

    def start(self, selector: selectors.BaseSelector) -> None:
        """Start a process that looks at the rest."""
        self._silent, self._over, self._garbled = True, False, False
        self._begun, self._found = False, 0
        self._deadline = time.monotonic() + DEADLINE_S
        try:
            self._child = _Child(self.job.installed, self.rest, selector, self._hear)
        except OSError as exc:
            self._cannot(f"no process could be started to look at it ({exc})")

    def is_over(self) -> bool:
        """Whether all is answered, the process has died, or time is up."""
        late = time.monotonic() > self._deadline
        return self._over or late or self._child is None or self._child.exit_code() is not None

    def stop(self) -> None:
        """End the process, and blame the plugin that it was looking at."""
        child, self._child = self._child, None
        if child is None:
            return
        code = child.exit_code()
        child.close()
        if self._silent:
            self._cannot("the process that should look at it did not start", child.tail())
        elif self.rest and (self._begun or self._garbled or not self._found):
            why = "wrote where only Palestra writes" if self._garbled else _ending(code)
            plugin = _broken(self.job.installed, self.rest.pop(0), why, child.tail())
            late = code is None and not self._garbled
            self.plugins.append(dataclasses.replace(plugin, timed_out=late))

    def _cannot(self, error: str, trace: str = "") -> None:
        """Give up the rest: it is not the plugins' fault."""
        self.unseen += [_broken(self.job.installed, point, error, trace) for point in self.rest]
        self.rest = []

    def _hear(self, line: bytes) -> None:
        """Take one of the child's messages: a plugin has begun, or is found, or all is done."""
        if self._over:
            return
        self._silent = False
        try:
            message: dict[str, Any] = json.loads(line)
            plugin = from_json(message["plugin"]) if "plugin" in message else None
        except (ValueError, KeyError, TypeError):
            self._garbled = self._over = True
            return
        self._begun = "begins" in message
        self._over = "done" in message
        self._garbled = self._over and bool(self.rest)
        if plugin is not None and self.rest:
            self.plugins.append(plugin)
            self.rest.pop(0)
            self._found += 1
        self._deadline = time.monotonic() + DEADLINE_S


class _Child:
    """One process of `probe_child`, with a pipe for its answers and one for what plugins print."""

    def __init__(
        self,
        installed: Installed,
        points: Sequence[Point],
        selector: selectors.BaseSelector,
        hear: Callable[[bytes], None],
    ) -> None:
        self._selector, self._hear = selector, hear
        self._heard = self._printed = b""
        self._answers, write_end = os.pipe()
        request = {
            "path": [str(entry) for entry in sys.path],
            "distribution": installed.name,
            "version": installed.version,
            "points": points,
            "answers": write_end,
            "deadline_s": DEADLINE_S,
        }
        try:
            # -P: the folder that the user happens to stand in is no place to import from.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, json.dumps(request)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(write_end,),
                start_new_session=True,
                env={**os.environ, PROBING: "1"},
            )
        except BaseException:
            os.close(self._answers)
            raise
        finally:
            os.close(write_end)
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        for pipe, read in ((self._answers, self._read_answers), (self._output, self._read_output)):
            os.set_blocking(pipe, False)
            selector.register(pipe, selectors.EVENT_READ, read)

    def exit_code(self) -> int | None:
        """Return how the process ended, None while it runs."""
        return self._process.poll()

    def close(self) -> None:
        """Kill the process with all that it started, and take what it said last."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        while self._read_answers() or self._read_output():
            pass
        for pipe in (self._answers, self._output):
            with contextlib.suppress(KeyError):  # already at its end
                self._selector.unregister(pipe)
        os.close(self._answers)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def tail(self) -> str:
        """Return the last lines of what was printed."""
        lines = self._printed.decode(errors="backslashreplace").splitlines()
        return "\n".join(line[:300] for line in lines[-_TAIL_LINES:])

    def _read_answers(self) -> bool:
        read = self._read(self._answers)
        *lines, self._heard = (self._heard + read).split(b"\n")
        for line in lines:
            self._hear(line)
        return bool(read)

    def _read_output(self) -> bool:
        read = self._read(self._output)
        self._printed = (self._printed + read)[-_TAIL_BYTES:]
        return bool(read)

    def _read(self, pipe: int) -> bytes:
        try:
            read = os.read(pipe, 1 << 16)
        except BlockingIOError:
            return b""
        if not read:
            with contextlib.suppress(KeyError):
                self._selector.unregister(pipe)
        return read


def _ending(code: int | None) -> str:
    """Say how an import ended that did not come to its end."""
    if code is None:
        again = "Try again with: palestra plugins ls --probe"
        return f"did not import within {DEADLINE_S:g} s. {again}"
    if code < 0:
        return f"its import crashed the interpreter ({_signal_name(-code)})"
    return f"its import ended the process with exit code {code}"


def _broken(installed: Installed, point: Point, error: str, trace: str) -> LoadedPlugin:
    return LoadedPlugin(
        name=point.name,
        distribution=installed.name,
        version=installed.version,
        module=point.value,
        state="broken",
        error=error,
        trace=trace,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
