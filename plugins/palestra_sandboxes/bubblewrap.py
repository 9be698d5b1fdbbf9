"""Confinement by bubblewrap (``bwrap``), the sandbox that Flatpak is built on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from palestra.grading.sandbox import Command, Limits
from palestra_sandboxes import seccomp
from palestra_sandboxes.root import WORK, Root, spare_uid

_SPACES = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts")


def missing() -> str:
    """Return what is not installed, or an empty string."""
    wanted = ("bwrap", "prlimit", "setpriv")
    absent = [name for name in wanted if shutil.which(name) is None]
    names = {"bwrap": "bubblewrap", "prlimit": "util-linux", "setpriv": "util-linux"}
    return ", ".join(dict.fromkeys(names[name] for name in absent))


@contextmanager
def prepared(
    command: Command, limits: Limits, root: Root, number: int
) -> Generator[tuple[list[str], tuple[int, ...]]]:
    """Yield the command line that runs `command` confined, and the descriptors it needs."""
    descriptors: list[int] = []
    argv = ["bwrap", *_SPACES, "--unshare-cgroup-try", "--die-with-parent", "--cap-drop", "ALL"]
    uid = spare_uid(number)
    enter: list[str] = []
    if uid is None:
        argv += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    else:  # root needs no user namespace, and leaves itself behind before the program starts
        argv += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        argv += ["--cap-add", "CAP_SETPCAP"]
        enter = ["/usr/bin/setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        enter += ["--inh-caps=-all", "--bounding-set=-all"]
    try:
        argv += _file_system(command, limits, root, descriptors)
        filter_ = seccomp.program()
        if filter_ is not None:
            argv += ["--seccomp", str(_memory_file(filter_, descriptors))]
        program = root.python if command.argv[0] == "python3" else command.argv[0]
        enter += ["/usr/bin/prlimit", *_limits(limits), "--", program, *command.argv[1:]]
        yield [*argv, "--", *enter], tuple(descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _file_system(command: Command, limits: Limits, root: Root, descriptors: list[int]) -> list[str]:
    argv: list[str] = []
    for source, seen in root.binds:
        for parent in reversed(Path(seen).parents[:-1]):
            argv += ["--dir", str(parent)]  # as a side effect of a bind only root could enter it
        argv += ["--ro-bind", source, seen]
    for target, name in root.links:
        argv += ["--symlink", target, name]
    for folder in root.masked:
        argv += ["--tmpfs", folder, "--remount-ro", folder]
    argv += ["--proc", "/proc", "--dev", "/dev"]
    argv += ["--size", str(limits.file_mb << 20), "--perms", "1777", "--tmpfs", WORK]
    for name, content in command.files.items():
        descriptor = _memory_file(content, descriptors)
        argv += ["--perms", "0644", "--file", str(descriptor), f"{WORK}/{name}"]
    argv += ["--remount-ro", "/", "--chdir", WORK, "--clearenv"]
    for key, value in root.env.items():
        argv += ["--setenv", key, value]
    return argv


def _limits(limits: Limits) -> list[str]:
    given = {"core": 0, "nofile": 256, "nproc": limits.processes, "fsize": limits.file_mb << 20}
    given |= {"memlock": 0, "msgqueue": 0}
    if limits.memory_mb is not None:
        given["as"] = limits.memory_mb << 20
    return [f"--{name}={value}" for name, value in given.items()]


def _memory_file(content: bytes, descriptors: list[int]) -> int:
    descriptor = os.memfd_create("file")
    descriptors.append(descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
