"""`E2BSandbox`: programs in virtual machines of e2b.dev."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial

from e2b_code_interpreter import Sandbox as Remote

from palestra.errors import PluginError
from palestra.grading.sandbox import Command, Limits, Sandbox, SandboxProcess
from palestra_e2b.failures import failure, is_busy
from palestra_e2b.pool import Pool
from palestra_e2b.process import RemoteProcess
from palestra_e2b.settings import Settings

_LOG = logging.getLogger("palestra")
_TRIES = 3


class E2BSandbox(Sandbox):
    """Runs programs in the cloud: in a machine without a network, and confined in it.

    Machines are kept for the next programs. Within one, each program has namespaces and a user of
    its own, as in the sandbox ``local``; the wall around them all is the machine's.

    Args:
        settings: how many machines, of what kind; by default from the environment.

    Raises:
        ConfigError: there is no key, or it is refused.
        PluginError: the server does not answer.
    """

    name = "e2b"

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.from_environment()
        self._pool = Pool(self.settings)
        self._process_id = os.getpid()
        try:
            Remote.list(limit=1, request_timeout=30.0).next_items()
        except Exception as exc:
            raise failure(exc, "cannot ask for machines") from exc

    def start(self, command: Command, limits: Limits) -> SandboxProcess:
        """Start a command in a machine; where that turns out to be dead, in another one."""
        if os.getpid() != self._process_id:  # the SDK would wait for threads that a fork has not
            raise PluginError(
                "sandbox 'e2b': made before this process was forked; make one in each process"
            )
        return _Started(partial(self._start, command, limits))

    def facts(self) -> dict[str, float]:
        """Return what it did and what that cost, for metrics."""
        counts, seconds = self._pool.counts, self._pool.seconds()
        return {
            "e2b/programs": counts.programs,
            "e2b/machines": counts.machines,
            "e2b/machines_lost": counts.lost,
            "e2b/requests_put_off": counts.refused,
            "e2b/machine_seconds": seconds,
            "e2b/dollars": seconds / 3600.0 * self.settings.price,
        }

    def close(self) -> None:
        """End every machine, and log what they cost; those of another process are left alone."""
        if os.getpid() != self._process_id:
            return
        self._pool.close()
        facts = self.facts()
        if facts["e2b/machines"]:
            _LOG.info(
                "sandbox 'e2b': %d programs in %d machines, %.0f s, about $%.4f",
                *(facts[f"e2b/{name}"] for name in ("programs", "machines")),
                *(facts[f"e2b/{name}"] for name in ("machine_seconds", "dollars")),
            )

    def _start(self, command: Command, limits: Limits) -> RemoteProcess:
        deadline, pause = time.monotonic() + self.settings.patience_s, 1.0
        for tries in itertools.count(1):
            machine = self._pool.take()
            try:
                return machine.start(command, limits, partial(self._pool.give_back, machine))
            except Exception as exc:
                trouble = failure(exc, "cannot start a program")
                waits = is_busy(exc) and time.monotonic() + pause < deadline
                if not waits and not (machine.lost and tries < _TRIES):
                    raise trouble from exc
            if waits:
                _LOG.warning("%s; trying again in %.1f s", trouble, pause)
                time.sleep(pause)
                pause *= 2
            else:
                _LOG.warning("%s; trying another machine", trouble)
        raise AssertionError("unreachable")


class _Started:
    """A command that is started anew where its machine was lost before anybody talked with it.

    Commands are started before they are wanted, and may wait for long. One that has been written
    to or read from is never started anew: who talks with it would not know.
    """

    def __init__(self, start: Callable[[], RemoteProcess]) -> None:
        self._start = start
        self._process = start()
        self._untouched = True
        self._lock = threading.Lock()

    def write(self, data: bytes, timeout_s: float) -> None:
        self._touched().write(data, timeout_s)

    def close_stdin(self) -> None:
        self._touched().close_stdin()

    def read(self, size: int, timeout_s: float) -> bytes:
        return self._touched().read(size, timeout_s)

    def end(self, timeout_s: float = 0.0) -> int | None:
        with self._lock:
            self._untouched = False
        return self._process.end(timeout_s)

    def _touched(self) -> RemoteProcess:
        with self._lock:
            if self._untouched and self._process.lost:
                self._process.end()
                self._process = self._start()
            self._untouched = False
            return self._process
