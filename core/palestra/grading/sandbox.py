"""`Sandbox`: where programs that a model wrote are run, and the only thing that runs them.

A sandbox starts a command with files beside it and hands back a `SandboxProcess`: bytes in, bytes
out, and an end. `Sandbox.run` is the whole of it for a program that reads its input and stops; a
grader that talks with a program uses `Sandbox.start`. What a program was allowed is `Limits`.

    sandbox = get_sandbox("local")
    done = sandbox.run(Command(argv=("python3", "p.py"), files={"p.py": b"print(6 * 7)"}), Limits())
    assert done.stdout == b"42\\n"
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from palestra.errors import PluginError, boundary
from palestra.plugins.registry import Kind, get_registry

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a program may use.

    Attributes:
        timeout_s: seconds of wall time, counted from when it starts and not while it is queued.
        memory_mb: memory of one process; None where the program reserves more than it uses (node).
        output_bytes: bytes of output that are kept; a program that writes more is ended.
        processes: processes and threads at once.
        file_mb: size of the largest file, and of all that it may write.
    """

    timeout_s: float = 10.0
    memory_mb: int | None = 512
    output_bytes: int = 8 * 1024 * 1024
    processes: int = 32
    file_mb: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run.

    Attributes:
        argv: the program and its arguments, looked up in the sandbox: ``python3`` is always there.
        files: files by name that lie in its working folder, which it may write to.
    """

    argv: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a run ended.

    Attributes:
        stdout: what it wrote, at most `Limits.output_bytes`.
        exit_code: its exit status, negative for a signal; None where it was ended from outside.
        timed_out: whether its time ran out.
        truncated: whether it wrote more than was kept.
        seconds: wall time.
    """

    stdout: bytes
    exit_code: int | None
    timed_out: bool = False
    truncated: bool = False
    seconds: float = 0.0


class SandboxProcess(Protocol):
    """A started command. Its error output is thrown away: it is nobody's evidence."""

    def write(self, data: bytes, timeout_s: float) -> None:
        """Write all of `data` to its standard input.

        Raises:
            TimeoutError: it did not read in time.
            ConnectionError: it is gone.
        """
        ...

    def close_stdin(self) -> None:
        """Let it see the end of its input."""
        ...

    def read(self, size: int, timeout_s: float) -> bytes:
        """Wait for output and return up to `size` bytes of it; nothing at its end.

        Raises:
            TimeoutError: nothing came in time.
        """
        ...

    def end(self, timeout_s: float = 0.0) -> int | None:
        """Give it so long to end by itself, then kill it and all that it started.

        Returns:
            Its exit status, negative for a signal; None where it was killed here.
        """
        ...


class Sandbox(ABC):
    """A place to run untrusted programs; subclass it and define `start`.

    Every process that is started is alone: it sees no network, no other program's process or
    file, and nothing of it is left when it has ended. A sandbox is used by many threads at once.
    """

    name: str = ""

    @abstractmethod
    def start(self, command: Command, limits: Limits) -> SandboxProcess:
        """Start a command.

        Of `limits`, a sandbox enforces memory, processes and files; time and output are the
        caller's, who alone knows when work begins.

        Raises:
            PluginError: it cannot be started; says why.
        """

    def run(self, command: Command, limits: Limits, stdin: bytes = b"") -> Completed:
        """Run a command to its end, or to its limits."""
        process = self.start(command, limits)
        begun = time.monotonic()
        deadline = begun + limits.timeout_s
        kept, timed_out, truncated = bytearray(), False, False
        code: int | None = None
        writer = threading.Thread(target=_feed, args=(process, stdin, limits.timeout_s))
        writer.start()
        try:
            while len(kept) <= limits.output_bytes:
                chunk = process.read(_CHUNK, max(0.0, deadline - time.monotonic()))
                if not chunk:
                    break
                kept += chunk
            truncated = len(kept) > limits.output_bytes
        except TimeoutError:
            timed_out = True
        finally:
            ended = timed_out or truncated
            code = process.end(0.0 if ended else max(0.0, deadline - time.monotonic()))
            writer.join()
        seconds = time.monotonic() - begun
        return Completed(
            stdout=bytes(kept[: limits.output_bytes]),
            exit_code=code,
            timed_out=timed_out or (code is None and not truncated),
            truncated=truncated,
            seconds=seconds,
        )

    def close(self) -> None:
        """Let go of whatever it holds."""
        return


def _feed(process: SandboxProcess, data: bytes, timeout_s: float) -> None:
    """Write a program's input; one that does not read it is no error."""
    with contextlib.suppress(TimeoutError, OSError):
        if data:
            process.write(data, timeout_s)
    with contextlib.suppress(OSError):
        process.close_stdin()


_lock = threading.Lock()
_open: dict[str, Sandbox] = {}


def get_sandbox(name: str) -> Sandbox:
    """Return this process's sandbox of a name; it is made once, and closed at exit.

    Raises:
        NotFound: no plugin brings it.
        ConfigError: it does not work on this machine; says what would help.
    """
    with _lock:
        if name not in _open:
            factory = get_registry().load(Kind.SANDBOX, name)
            with boundary(PluginError, f"sandbox '{name}': cannot be made"):
                made = cast("type[Sandbox]", factory)()
            made.name = name
            _open[name] = made
        return _open[name]


def close_sandboxes() -> None:
    """Close every sandbox that `get_sandbox` made."""
    with _lock:
        while _open:
            _open.popitem()[1].close()


atexit.register(close_sandboxes)
