"""`LocalSandbox`: programs on this machine, each in namespaces of its own."""

from __future__ import annotations

import itertools
import secrets
import subprocess
from typing import Literal

from palestra.errors import ConfigError, PluginError
from palestra.grading.sandbox import Command, Limits, Sandbox, SandboxProcess
from palestra_sandboxes import bubblewrap, namespaces
from palestra_sandboxes.cgroup import group_for, parent
from palestra_sandboxes.pipes import PipeProcess, spawn
from palestra_sandboxes.root import UIDS, visible_root

Confinement = Literal["bubblewrap", "namespaces"]

_PROBE_S = 20.0
_ways = {"bubblewrap": bubblewrap, "namespaces": namespaces}


class LocalSandbox(Sandbox):
    """Confines programs by bubblewrap, or by user namespaces where it is not installed.

    A program gets no network, a read-only root without anybody's files, a private folder in
    memory, its own process numbers (when it ends, all that it started ends), limits on memory,
    processes and files, and a seccomp filter. Where control groups may be made, the memory of all
    its processes is counted together. Started by root, it runs as a user that nobody is.

    Args:
        by: the way of confinement; by default the first that works on this machine.

    Raises:
        ConfigError: none works here.
    """

    name = "local"

    def __init__(self, by: Confinement | None = None) -> None:
        self._root = visible_root()
        # Other processes confine programs too: the same user would share limits with theirs.
        self._numbers = itertools.count(secrets.randbelow(UIDS))
        self._groups = parent()
        tried: list[str] = []
        for way in (by,) if by else ("bubblewrap", "namespaces"):
            self.by: Confinement = way
            trouble = self._trouble()
            if not trouble:
                return
            tried.append(f"{way}: {trouble}")
        raise ConfigError(
            f"sandbox 'local': this machine can confine no program ({'; '.join(tried)}). "
            "Install bubblewrap (apt install bubblewrap), or allow user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1, or "
            "kernel.apparmor_restrict_unprivileged_userns=0), or use sandbox 'docker' or 'e2b'; "
            "sandbox 'unsafe_subprocess' runs programs without any protection"
        )

    def start(self, command: Command, limits: Limits) -> SandboxProcess:
        """Start a command, confined."""
        return self._start(command, limits, stderr=subprocess.DEVNULL)

    def _start(self, command: Command, limits: Limits, stderr: int) -> PipeProcess:
        number = next(self._numbers)
        group = group_for(self._groups, limits)
        try:
            with _ways[self.by].prepared(command, limits, self._root, number) as (argv, files):
                argv = argv if group is None else group.wrap(argv)
                child = spawn(argv, pass_fds=files, env=self._root.env, stderr=stderr)
            return PipeProcess(child, on_end=(lambda: None) if group is None else group.remove)
        except OSError as exc:
            if group is not None:
                group.remove()
            raise PluginError(f"sandbox 'local': cannot start a program: {exc}") from exc

    def _trouble(self) -> str:
        """Return why a program cannot be confined this way, or an empty string."""
        missing = _ways[self.by].missing()
        if missing:
            return f"{missing} is not installed"
        command = Command(argv=("python3", "-I", "-S", "-c", "print('confined')"))
        process = self._start(command, Limits(), stderr=subprocess.STDOUT)
        said = b""
        try:
            while chunk := process.read(1 << 16, _PROBE_S):
                said += chunk
        except TimeoutError:
            return f"a first program did not end in {_PROBE_S:.0f} s"
        finally:
            process.end()
        if said == b"confined\n":
            return ""
        return " ".join(said.decode(errors="replace").split())[-300:] or "a first program failed"
