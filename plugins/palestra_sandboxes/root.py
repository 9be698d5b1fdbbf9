"""What a confined program sees of this machine: programs and libraries, and nobody's files."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

WORK = "/tmp"
"""The program's own folder: empty but for its files, in memory, gone with it."""

UIDS = 200_000_000
"""User ids that programs which root starts are spread over."""

_TOP = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_CONFIGURATION = ("/etc/ld.so.cache", "/etc/alternatives")
_PACKAGES = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Root:
    """A root file system, in the order in which it is built.

    Attributes:
        binds: (folder or file here, where it is seen), each read-only.
        links: (target, name) of symbolic links.
        masked: folders seen that are covered by empty ones: installed packages, which may hold a
            benchmark with its answers.
        python: the interpreter, as the program sees it.
        env: the program's whole environment.
    """

    binds: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...]
    masked: tuple[str, ...]
    python: str
    env: dict[str, str]


def visible_root() -> Root:
    """Return what a program gets to see on this machine."""
    binds, links = [("/usr", "/usr")], list[tuple[str, str]]()
    for name in _TOP:
        path = Path("/", name)
        if path.is_symlink():
            links.append((os.readlink(path), f"/{name}"))
        elif path.is_dir():
            binds.append((f"/{name}", f"/{name}"))
    binds += [(each, each) for each in _CONFIGURATION if Path(each).exists()]
    base = Path(sys.base_prefix).resolve()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": WORK, "LANG": "C.UTF-8"}
    if base.is_relative_to("/usr"):
        python = str(base / "bin" / version)
    else:  # under a name of its own: where it lies may tell who we are, or be closed to others
        binds += [(str(base / part), f"/python/{part}") for part in ("bin", "lib")]
        python = f"/python/bin/{version}"
        env["PATH"] = f"/python/bin:{env['PATH']}"
        env["LD_LIBRARY_PATH"] = "/python/lib"
    return Root(tuple(binds), tuple(links), tuple(_masked(binds)), python, env)


def _masked(binds: list[tuple[str, str]]) -> list[str]:
    """Return every folder of installed packages that the binds would show."""
    found: set[str] = set()
    for source, seen in binds:
        for lib in ("", "lib", "lib64", "local/lib"):
            for name in _PACKAGES:
                for path in Path(source, lib).glob(f"python3*/{name}"):
                    if not path.is_symlink():
                        found.add(str(Path(seen) / path.relative_to(source)))
    return sorted(found)


def spare_uid(number: int) -> int | None:
    """Return a user id that nobody has, for a program that root starts; None where we are not root.

    Each program gets another one, so that limits on processes are its own. In a container with
    few ids it is nobody's; with one id alone there is none to spare.
    """
    if os.geteuid() != 0:
        return None
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    ranges = [tuple(map(int, line.split())) for line in lines]
    for uid in (1_900_000_000 + number % UIDS, 65_534):
        if any(first <= uid < first + count for first, _, count in ranges):
            return uid
    return None
