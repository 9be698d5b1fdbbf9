"""`RemoteProcess`: a program in the cloud, as sandboxes hand it out."""

from __future__ import annotations

import binascii
import threading
import time
from collections.abc import Callable

from e2b.exceptions import NotFoundException, TimeoutException
from e2b.sandbox.commands.command_handle import CommandExitException
from e2b.sandbox_sync.commands.command import Commands
from e2b.sandbox_sync.commands.command_handle import CommandHandle

from palestra.errors import PalestraError
from palestra_e2b.failures import failure, is_busy, is_gone

_AHEAD = 4 << 20  # bytes of output that are fetched before anybody reads them
_PIECE = 1 << 18  # bytes of input in one request
_ENDING_S = 2.0  # from the end of a program to the news of it
_ANSWER_S = 5.0  # for a request that no program can delay
_STDERR = 500  # characters


class RemoteProcess:
    """A started command whose output is lines of base64 (see `palestra_e2b.launch`).

    A thread of its own takes the output off the network; where nobody reads it, it stops after
    some megabytes, and so does the program. That the machine is lost is a `PluginError`: a grading
    that failed, and no fault of the program.

    Args:
        commands: the commands of its machine.
        handle: the command, as the SDK hands it out.
        on_end: called once after it has ended; told whether the machine is lost.
    """

    def __init__(
        self, commands: Commands, handle: CommandHandle, on_end: Callable[[bool], None]
    ) -> None:
        self._commands = commands
        self._handle = handle
        self._on_end = on_end
        self._changed = threading.Condition()
        self._output = bytearray()
        self._over = False
        self._unwanted = False
        self._released = False
        self._code: int | None = None
        self._lost: PalestraError | None = None
        self.stderr = ""
        name = f"e2b {handle.pid}"
        threading.Thread(target=self._receive, name=name, daemon=True).start()

    @property
    def lost(self) -> bool:
        """Whether its machine is known to be lost."""
        return self._lost is not None

    def write(self, data: bytes, timeout_s: float) -> None:
        """Write all of `data`; see `SandboxProcess`."""
        deadline = time.monotonic() + timeout_s
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            self._request(lambda left, sent=piece: self._handle.send_stdin(sent, left), deadline)

    def close_stdin(self) -> None:
        """Let it see the end of its input."""
        if not self._over:
            self._request(self._handle.close_stdin, time.monotonic() + _ANSWER_S)

    def read(self, size: int, timeout_s: float) -> bytes:
        """Return some output; see `SandboxProcess`.

        Raises:
            PluginError: the machine is lost.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._output or self._over, max(0.0, timeout_s))
            if self._output:
                taken = bytes(self._output[:size])
                del self._output[:size]
                self._changed.notify_all()
                return taken
            if self._lost:
                raise self._lost
            if not self._over:
                raise TimeoutError("it wrote nothing in time")
            return b""

    def end(self, timeout_s: float = 0.0) -> int | None:
        """End it; see `SandboxProcess`."""
        with self._changed:
            if self._released:
                return None
            self._released = self._unwanted = True
            self._changed.notify_all()
            ended_itself = self._changed.wait_for(lambda: self._over, max(0.0, timeout_s))
        if not ended_itself:
            self._kill()
        self._on_end(self._lost is not None)
        return self._code if ended_itself else None

    def _kill(self) -> None:
        """Kill it; where that cannot be done, its machine is not to be used again."""
        pid = self._handle.pid
        try:
            self._request(lambda left: self._commands.kill(pid, left), time.monotonic() + _ANSWER_S)
        except OSError:
            pass
        except PalestraError as exc:
            self._lost = exc
        with self._changed:
            if not self._changed.wait_for(lambda: self._over, _ANSWER_S):
                self._lost = failure(TimeoutError("it could not be ended"), "a program")

    def _request(self, send: Callable[[float], object], deadline: float) -> None:
        """Ask something of the running command, again where we are told to ask later."""
        pause = 0.2
        while True:
            left = deadline - time.monotonic()
            if left <= 0.0:
                raise TimeoutError("it does not read its input")
            try:
                send(left)
                return
            except Exception as exc:
                if is_busy(exc) and pause < deadline - time.monotonic():
                    time.sleep(pause)
                    pause *= 2
                    continue
                self._explain(exc)

    def _explain(self, exc: Exception) -> None:
        """Raise what a failed request means: the program's end, no time, or no machine."""
        with self._changed:
            self._changed.wait_for(lambda: self._over, _ENDING_S)
        if self._lost:
            raise self._lost from exc
        if self._over or isinstance(exc, NotFoundException):
            raise BrokenPipeError("it has ended") from None
        if isinstance(exc, TimeoutException) and not is_gone(exc):
            raise TimeoutError("it does not read its input") from None
        self._lost = failure(exc, "a machine does not answer")
        raise self._lost from exc

    def _receive(self) -> None:
        """Take the output off the network until the command ends."""
        rest = ""
        try:
            for text, error, _ in self._handle:
                if error:
                    self.stderr = (self.stderr + error)[-_STDERR:]
                if text:
                    *lines, rest = (rest + text).split("\n")
                    self._keep(b"".join(map(binascii.a2b_base64, lines)))
            self._code = _exit_code(self._handle)
        except Exception as exc:
            self._lost = failure(exc, "a machine was lost while a program ran")
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _keep(self, output: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._output) < _AHEAD or self._unwanted)
            if not self._unwanted:
                self._output += output
                self._changed.notify_all()


def _exit_code(handle: CommandHandle) -> int:
    """Return the status of a command whose output is over."""
    try:
        return handle.wait().exit_code
    except CommandExitException as exc:
        return exc.exit_code
