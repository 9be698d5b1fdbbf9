"""`Pool`: machines that are kept for the next program, made anew when they die, and counted."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
import time
from dataclasses import dataclass

from palestra.errors import PluginError
from palestra_e2b.failures import failure, is_busy
from palestra_e2b.machine import Machine
from palestra_e2b.settings import Settings

_LOG = logging.getLogger("palestra")
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0


@dataclass(slots=True)
class Counts:
    """What a pool has done so far.

    Attributes:
        programs: programs that were started.
        machines: machines that were made.
        lost: machines that died, or did not answer any more.
        refused: requests for a machine that were put off by a limit.
        ended_s: seconds of machines that are no more.
    """

    programs: int = 0
    machines: int = 0
    lost: int = 0
    refused: int = 0
    ended_s: float = 0.0


class Pool:
    """The machines of this process.

    A program goes to the machine with the fewest; a new machine is made when each has a program on
    every core. Where the cloud refuses one for now, what there is goes on; where there is none,
    the program waits, longer each time, and says so.

    Args:
        settings: how many, and how long to wait.
    """

    def __init__(self, settings: Settings) -> None:
        self.counts = Counts()
        self._settings = settings
        self._machines: list[Machine] = []
        self._lock = threading.Lock()
        self._making = threading.Lock()  # one at a time: the cloud limits how fast
        self._no_more_until = 0.0
        self._closed = threading.Event()
        self._keeper: threading.Thread | None = None
        self._jitter = random.Random(os.getpid())

    def take(self) -> Machine:
        """Return a machine that has room for a program; whoever takes it gives it back.

        Raises:
            PluginError: there is none, and why.
            ConfigError: the key is refused.
        """
        machine = self._place()
        while machine is None:
            with self._making:
                machine = self._place() or self._grow()
        return machine

    def give_back(self, machine: Machine, lost: bool) -> None:
        """Say that a program has ended, and whether its machine is lost."""
        with self._lock:
            machine.programs -= 1
            machine.used = time.monotonic()
            newly_lost = lost and machine in self._machines
            machine.lost = machine.lost or lost
        if newly_lost:
            self._drop(machine, died=True)

    def seconds(self) -> float:
        """Return how long machines have run, all of them together."""
        with self._lock:
            return self.counts.ended_s + sum(each.age_s for each in self._machines)

    def close(self) -> None:
        """End every machine."""
        self._closed.set()
        with self._lock:
            machines = list(self._machines)
        for machine in machines:
            self._drop(machine, died=False)

    def _place(self) -> Machine | None:
        """Return a machine for one more program, or None where a new one is to be made."""
        with self._lock:
            spent = [each for each in self._machines if not each.usable and not each.programs]
        for machine in spent:
            self._drop(machine, died=machine.lost)
        with self._lock:
            usable = [each for each in self._machines if each.usable]
            if not usable:
                return None
            best = min(usable, key=lambda each: each.programs / each.cores)
            may_grow = (
                len(self._machines) < self._settings.machines
                and time.monotonic() >= self._no_more_until
            )
            if best.programs >= best.cores and may_grow:
                return None
            best.programs += 1
            best.used = time.monotonic()
            self.counts.programs += 1
            return best

    def _grow(self) -> Machine | None:
        """Make a machine; None where others have to do for now."""
        pause, deadline = _FIRST_PAUSE_S, time.monotonic() + self._settings.patience_s
        while True:
            try:
                machine = Machine.make(self._settings)
            except Exception as exc:
                if not is_busy(exc):
                    raise failure(exc, "cannot make a machine") from exc
                wait = pause * self._jitter.uniform(1.0, 1.5)
                self._put_off(exc, wait, deadline)
                if self._has_usable():
                    self._no_more_until = time.monotonic() + wait
                    return None
                time.sleep(wait)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                continue
            with self._lock:
                machine.programs = 1
                self._machines.append(machine)
                self.counts.machines += 1
                self.counts.programs += 1
            self._keep_alive()
            return machine

    def _put_off(self, exc: Exception, wait: float, deadline: float) -> None:
        """Count a refusal and say it; raise where patience is over."""
        self.counts.refused += 1
        said = str(failure(exc, "no machine for now"))
        if self._has_usable():
            _LOG.warning("%s; going on with %d", said, len(self._machines))
        elif time.monotonic() + wait < deadline:
            _LOG.warning("%s; trying again in %.1f s", said, wait)
        else:
            raise PluginError(
                f"{said} (waited {self._settings.patience_s:.0f} s). Use fewer machines "
                "(PALESTRA_E2B_MACHINES, in each process) or raise the limit of your plan"
            ) from exc

    def _has_usable(self) -> bool:
        with self._lock:
            return any(each.usable for each in self._machines)

    def _drop(self, machine: Machine, died: bool) -> None:
        with self._lock:
            if machine not in self._machines:
                return
            self._machines.remove(machine)
            self.counts.ended_s += machine.age_s
            self.counts.lost += died
        machine.close()

    def _keep_alive(self) -> None:
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._renew, name="e2b", daemon=True)
            self._keeper.start()

    def _renew(self) -> None:
        """Put off the end of every machine that is in use; the others end by themselves."""
        while not self._closed.wait(self._settings.lifetime_s / 6):
            with self._lock:
                machines = list(self._machines)
            for machine in machines:
                with contextlib.suppress(Exception):  # its programs will say so
                    machine.renew()
