"""A control group for a program: the memory of all that it starts, counted together.

Limits of processes bound each one alone, so that 32 children of 512 MB are 16 GB. Where this
process may make control groups (root, or a delegated group), a program gets one of its own; where
it may not, the limits of processes are all there is.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import time
from collections import deque
from pathlib import Path

from palestra.grading.sandbox import Limits

_OVERHEAD_MB = 64  # of the confinement itself, and of a folder in memory with few files
_PREFIX = "palestra-"
_JOIN = 'echo $$ > "$1/cgroup.procs" || exit 125; shift; exec "$@"'
_LIMITS = {"v2": "memory.max", "v1": "memory.limit_in_bytes"}
_numbers = itertools.count()
_left: deque[Path] = deque()  # groups whose processes had not quite gone when they were ended


class MemoryGroup:
    """One program's group.

    Args:
        folder: in the file system of control groups; made here, removed by `remove`.
        limit: bytes that all its processes may use together.

    Raises:
        OSError: it cannot be made, or takes no limit.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        folder.mkdir()
        try:
            knob = next(folder / name for name in _LIMITS.values() if (folder / name).exists())
            knob.write_text(str(limit))
        except (OSError, StopIteration) as exc:
            self.remove()
            raise OSError(f"{folder} takes no limit of memory") from exc

    def wrap(self, argv: list[str]) -> list[str]:
        """Return a command line that joins the group, then becomes `argv`."""
        return ["/bin/sh", "-c", _JOIN, "sh", str(self.folder), *argv]

    def remove(self) -> None:
        """Remove the group; where the kernel still buries its processes, with the next ones."""
        _left.append(self.folder)
        for _ in range(len(_left)):
            with contextlib.suppress(IndexError):  # other threads remove groups too
                folder = _left.popleft()
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    continue
                except OSError:
                    _left.append(folder)


@atexit.register
def _remove_the_last() -> None:
    """Wait a little for the processes of the last groups to be gone."""
    until = time.monotonic() + 1.0
    while _left and time.monotonic() < until:
        with contextlib.suppress(OSError):
            _left[0].rmdir()
            _left.popleft()
            continue
        time.sleep(0.01)


def parent() -> Path | None:
    """Return the group under which this process may make others, or None; tried by making one.

    What a process that is no more has left behind there is swept away.
    """
    for place in _places():
        _sweep(place)
        with contextlib.suppress(OSError):
            MemoryGroup(_name(place), 64 << 20).remove()
            return place
    return None


def group_for(place: Path | None, limits: Limits) -> MemoryGroup | None:
    """Return a group for one program; None where none can be made, or no memory is limited."""
    if place is None or limits.memory_mb is None:
        return None
    with contextlib.suppress(OSError):
        megabytes = limits.memory_mb + limits.file_mb + _OVERHEAD_MB
        return MemoryGroup(_name(place), megabytes << 20)
    return None


def _name(place: Path) -> Path:
    return place / f"{_PREFIX}{os.getpid()}-{next(_numbers)}"


def _places() -> list[Path]:
    """Return this process's own groups: of cgroup v1's memory controller, and of v2."""
    root, found = Path("/sys/fs/cgroup"), list[Path]()
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            found.append(root / "memory" / path.lstrip("/"))
        elif not controllers:
            found.append(root / path.lstrip("/"))
    return found


def _sweep(place: Path) -> None:
    """Remove the groups of processes that are no more."""
    with contextlib.suppress(OSError):
        for folder in place.glob(f"{_PREFIX}*"):
            number = folder.name.removeprefix(_PREFIX).partition("-")[0]
            if number.isdecimal() and not Path(f"/proc/{number}").exists():
                with contextlib.suppress(OSError):
                    folder.rmdir()
