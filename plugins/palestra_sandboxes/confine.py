"""A script: enter fresh namespaces, build a root, give up all privilege, and run a program.

    python -I -S confine.py FD

`FD` holds the plan as JSON (see `palestra_sandboxes.namespaces`). It needs the standard library
alone. The process that starts here waits outside; its child is process 1 of the new namespace,
which waits for the program, and whose end is the end of all that the program started.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import Any

_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _BIND, _REC, _PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR = 442
_AT_RECURSIVE = 0x8000
_DEATHSIG, _SECCOMP, _DROP_BOUND, _NO_NEW_PRIVS = 1, 22, 24, 38
_DEVICES = ("null", "zero", "full", "random", "urandom")

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Run the plan whose descriptor is the first argument."""
    with open(int(sys.argv[1]), "rb") as file:
        plan: dict[str, Any] = json.load(file)
    _prctl(_DEATHSIG, signal.SIGKILL)
    spaces = _NEWNS | _NEWPID | _NEWNET | _NEWIPC | _NEWUTS
    if plan["uid"] is None:
        _check(_libc.unshare(_NEWUSER), "a user namespace")
        uid, gid = plan["ids"]
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"65534 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"65534 {gid} 1")
    _check(_libc.unshare(spaces), "namespaces")
    _libc.unshare(_NEWCGROUP)
    child = os.fork()
    if child:
        _exit_as(child)
    _prctl(_DEATHSIG, signal.SIGKILL)
    _build_root(plan)
    program = os.fork()
    if program:
        os.closerange(0, 3)  # so that the program's end is the end of its output
        _exit_as(program)
    _become_nobody(plan)
    os.execvpe(plan["argv"][0], plan["argv"], plan["env"])


def _build_root(plan: dict[str, Any]) -> None:
    """Make a root of the plan's binds and empty folders in memory, and make it the only one."""
    _mount("none", "/", "", _REC | _PRIVATE)
    base = "/tmp"  # any folder does: what it held is seen from the old root
    _mount("tmpfs", base, "tmpfs", _NOSUID | _NODEV, "mode=0755,size=1m")
    for name in ("old", "new"):
        os.mkdir(f"{base}/{name}")
    _pivot(base, f"{base}/old")
    os.chdir("/")
    _mount("tmpfs", "/new", "tmpfs", _NOSUID | _NODEV, "mode=0755,size=1m")
    for source, seen in plan["binds"]:
        _bind(f"/old{source}", f"/new{seen}")
    for target, name in plan["links"]:
        os.symlink(target, f"/new{name}")
    for folder in plan["masked"]:
        _mount("tmpfs", f"/new{folder}", "tmpfs", _NOSUID | _NODEV | _RDONLY, "size=4k")
    os.mkdir("/new/proc")
    _mount("proc", "/new/proc", "proc", _NOSUID | _NODEV | 8)
    _devices()
    work = f"/new{plan['work']}"
    os.makedirs(work)
    _mount("tmpfs", work, "tmpfs", _NOSUID | _NODEV, f"mode=1777,size={plan['work_bytes']}")
    for name, content in plan["files"].items():
        Path(work, name).write_bytes(base64.b64decode(content))
        os.chmod(f"{work}/{name}", 0o644)
    _read_only("/new", recursive=False)
    os.chdir("/new")
    _pivot(".", ".")
    _check(_libc.umount2(b".", _DETACH), "leaving the old root")
    os.chdir(plan["work"])


def _devices() -> None:
    os.mkdir("/new/dev")
    _mount("tmpfs", "/new/dev", "tmpfs", _NOSUID, "mode=0755,size=64k")
    for name in _DEVICES:
        Path("/new/dev", name).touch()
        _mount(f"/old/dev/{name}", f"/new/dev/{name}", "", _BIND)
    os.symlink("/proc/self/fd", "/new/dev/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"/new/dev/{name}")


def _bind(source: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        Path(target).touch()
    _mount(source, target, "", _BIND | _REC)
    _read_only(target, recursive=True)


def _read_only(target: str, *, recursive: bool) -> None:
    attributes = struct.pack("=QQQQ", _RDONLY | _NOSUID | _NODEV, 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    done = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR), -100, target.encode(), flags, attributes, len(attributes)
    )
    _check(done, f"making {target} read-only")


def _become_nobody(plan: dict[str, Any]) -> None:
    """Give up every privilege and set the limits: from here on nothing can be taken back."""
    os.setsid()
    for name, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_FSIZE, plan["work_bytes"]),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(name, (value, value))
    for capability in range(64):
        if _libc.prctl(_DROP_BOUND, capability, 0, 0, 0) != 0:
            break
    if plan["uid"] is not None:
        os.setgroups([])
        os.setresgid(plan["uid"], plan["uid"], plan["uid"])
        os.setresuid(plan["uid"], plan["uid"], plan["uid"])
    header = struct.pack("=Ii", 0x20080522, 0)
    _check(_libc.capset(header, bytes(24)), "dropping capabilities")
    _prctl(_NO_NEW_PRIVS, 1)
    resource.setrlimit(resource.RLIMIT_NPROC, (plan["processes"],) * 2)
    if plan["seccomp"] is not None:
        steps = ctypes.create_string_buffer(base64.b64decode(plan["seccomp"]))
        count = (len(steps) - 1) // 8
        filter_ = struct.pack("@HP", count, ctypes.addressof(steps))
        _check(_libc.prctl(_SECCOMP, 2, filter_, 0, 0), "a seccomp filter")
    if plan["memory"] is not None:
        resource.setrlimit(resource.RLIMIT_AS, (plan["memory"],) * 2)


def _exit_as(child: int) -> None:
    """Wait for `child`, and whatever else becomes ours, and end as it did."""
    while True:
        with contextlib.suppress(InterruptedError):
            pid, status = os.wait()
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    done = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _check(done, f"mounting {target}")


def _pivot(new: str, old: str) -> None:
    number = ctypes.c_long(_PIVOT_ROOT[os.uname().machine])
    _check(_libc.syscall(number, new.encode(), old.encode()), "a new root")


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, value, 0, 0, 0), f"prctl {option}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        sys.exit(f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
