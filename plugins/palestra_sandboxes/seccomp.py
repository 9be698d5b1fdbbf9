"""A seccomp filter: the system calls that no graded program needs, refused.

It is the last wall and not the first: without it a program still has no network, no privilege and
no file of ours. It takes away the calls by which kernels have been broken before, tracing of other
processes, namespaces of its own, and sockets of any family but AF_UNIX (some, as AF_VSOCK, are
not held by a network namespace). The filter is classic BPF, assembled here, because no library for
it is everywhere.
"""

from __future__ import annotations

import errno
import platform
import struct

_LOAD, _JUMP_EQ, _JUMP_GE, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENT_0 = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_AF_UNIX = 1

_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# fmt: off
_NUMBERS = {  # x86_64, aarch64
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "setns": (308, 268), "unshare": (272, 97), "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "kexec_load": (246, 104), "personality": (135, 92),
    "acct": (163, 89), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142),
    "quotactl": (179, 60), "syslog": (103, 116), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "sethostname": (170, 161),
}
# fmt: on
_CLONE, _CLONE3, _SOCKET = (56, 220), (435, 435), (41, 198)


def program() -> bytes | None:
    """Return the filter for this machine, or None where its system calls are not known here."""
    machine = platform.machine()
    if machine not in _AUDIT or struct.calcsize("P") != 8:
        return None
    column = 0 if machine == "x86_64" else 1
    refuse = _step(_RETURN, _ERRNO | errno.EPERM)
    allow = _step(_RETURN, _ALLOW)
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_JUMP_EQ, _AUDIT[machine], 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":  # the x32 calls have other numbers
        steps += [_step(_JUMP_GE, 0x40000000, 0, 1), refuse]
    for numbers in _NUMBERS.values():
        steps += [_step(_JUMP_EQ, numbers[column], 0, 1), refuse]
    steps += [  # glibc falls back to clone(), whose flags can be looked at
        _step(_JUMP_EQ, _CLONE3[column], 0, 1),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
        _step(_JUMP_EQ, _CLONE[column], 0, 4),
        _step(_LOAD, _ARGUMENT_0),
        _step(_JUMP_SET, _NEW_NAMESPACES, 0, 1),
        refuse,
        allow,
        _step(_JUMP_EQ, _SOCKET[column], 0, 3),
        _step(_LOAD, _ARGUMENT_0),
        _step(_JUMP_EQ, _AF_UNIX, 1, 0),
        refuse,
        allow,
    ]
    return b"".join(steps)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
