"""`Machine`: one virtual machine in the cloud, made ready to confine programs."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable
from importlib import resources
from typing import Self

from e2b_code_interpreter import Sandbox as Remote

from palestra.errors import PluginError
from palestra.grading.sandbox import Command, Limits
from palestra.terminal import one_line
from palestra_e2b.failures import is_gone
from palestra_e2b.process import RemoteProcess
from palestra_e2b.settings import Settings

_FOLDER = ".palestra"  # in the home of the machine's root
_LAUNCH = f"exec python3 -I -S {_FOLDER}/launch.py"
_CONFINEMENT = ("__init__", "root", "seccomp", "confine")
_REQUEST_S = 30.0
_FIRST_S = 60.0  # for the first program and the first cell
_OLDEST_S = 45 * 60.0  # the smallest plan ends a machine after an hour, whatever it does


class Machine:
    """A virtual machine; many programs may be in it at once, each confined.

    Attributes:
        programs: how many are in it now.
        used: when one last came or went.
        cores: how many it has.
        lost: whether it is not to be used again.
    """

    def __init__(self, remote: Remote, lifetime_s: int) -> None:
        self.remote = remote
        self.programs = 0
        self.cores = 1
        self.lost = False
        self._lifetime_s = lifetime_s
        self._made = self._renewed = self.used = time.monotonic()

    @classmethod
    def make(cls, settings: Settings) -> Self:
        """Ask for a machine, without a network of its own, and make it ready.

        The SDK's own retries are off: it would wait without a word.

        Raises:
            Exception: whatever the SDK raises where there is none.
            PluginError: it confines no program.
        """
        remote = Remote.create(
            settings.template,
            timeout=settings.lifetime_s,
            metadata={"made-by": "palestra"},
            allow_internet_access=False,
            retries=0,
            request_timeout=_REQUEST_S,
        )
        machine = cls(remote, settings.lifetime_s)
        try:
            machine._prepare()
        except BaseException:
            machine.close()
            raise
        return machine

    @property
    def age_s(self) -> float:
        """Seconds that it has been there."""
        return time.monotonic() - self._made

    @property
    def usable(self) -> bool:
        """Whether it takes another program: it is neither lost, nor old, nor ended by itself."""
        rests = time.monotonic() - self._renewed
        return not self.lost and self.age_s < _OLDEST_S and rests < self._lifetime_s

    def start(
        self, command: Command, limits: Limits, on_end: Callable[[bool], None], check: bool = False
    ) -> RemoteProcess:
        """Start a command, confined.

        Args:
            command: what to run.
            limits: what it may use.
            on_end: called once, when it has ended or did not start; told whether we are lost.
            check: let what confines the command say what hinders it.
        """
        commands = self.remote.commands
        line = f"{_LAUNCH} --check" if check else _LAUNCH
        try:
            handle = commands.run(line, background=True, stdin=True, user="root", timeout=0)
        except BaseException as exc:
            on_end(is_gone(exc))
            raise
        process = RemoteProcess(commands, handle, on_end)
        request = json.dumps(
            {
                "argv": command.argv,
                "files": {n: base64.b64encode(c).decode() for n, c in command.files.items()},
                "file_bytes": limits.file_mb << 20,
                "memory_bytes": None if limits.memory_mb is None else limits.memory_mb << 20,
                "processes": limits.processes,
            }
        ).encode()
        try:  # no program is to blame here: none runs before its request is read
            process.write(len(request).to_bytes(4, "big") + request, _REQUEST_S)
        except OSError as exc:
            process.end()
            said = one_line(process.stderr) or str(exc)
            raise PluginError(f"sandbox 'e2b': cannot start a program: {said}") from exc
        except BaseException:
            process.end()
            raise
        return process

    def renew(self) -> None:
        """Put off its end, where it is in use and that is worth a request."""
        now = time.monotonic()
        in_use = self.programs or self.used > self._renewed
        if in_use and now - self._renewed > self._lifetime_s / 3:
            self.remote.set_timeout(self._lifetime_s, request_timeout=_REQUEST_S)
            self._renewed = now

    def close(self) -> None:
        """End it; one that is not there any more is no error."""
        self.lost = True
        with contextlib.suppress(Exception):
            self.remote.kill(request_timeout=_REQUEST_S)

    def _prepare(self) -> None:
        ours, confinement = resources.files("palestra_e2b"), resources.files("palestra_sandboxes")
        files = {"launch.py": (ours / "launch.py").read_bytes()}
        for module in _CONFINEMENT:
            name = f"{module}.py"
            files[f"palestra_sandboxes/{name}"] = (confinement / name).read_bytes()
        self.remote.files.write_files(
            [{"path": f"{_FOLDER}/{name}", "data": data} for name, data in files.items()],
            user="root",
            request_timeout=_REQUEST_S,
        )
        counted = self.remote.run_code("import os; os.cpu_count()", timeout=_FIRST_S)
        with contextlib.suppress(TypeError, ValueError):
            self.cores = max(1, int(counted.text or 1))
        self._check()

    def _check(self) -> None:
        """Run a first program, and refuse the machine where it is not confined."""
        command = Command(argv=("python3", "-I", "-S", "-c", "print('confined')"))
        process = self.start(command, Limits(), on_end=lambda lost: None, check=True)
        said, deadline = b"", time.monotonic() + _FIRST_S
        try:
            while chunk := process.read(1 << 16, deadline - time.monotonic()):
                said += chunk
        except TimeoutError:
            process.stderr = f"a first program did not end in {_FIRST_S:.0f} s"
        finally:
            process.end(1.0)
        if said != b"confined\n":
            why = one_line(process.stderr)[-300:] or "a first program failed"
            raise PluginError(f"sandbox 'e2b': a machine can confine no program ({why})")
