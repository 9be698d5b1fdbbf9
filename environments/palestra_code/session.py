"""`Session`: one program in a sandbox, seen from outside.

A session is used for one program and thrown away. Whatever the program does, the worst that comes
out of it is `ProgramFailed`: it died, it was too slow, or it answered what is no answer.
"""

from __future__ import annotations

import base64
import contextlib
import json
import struct
import time
from importlib import resources
from typing import Any, cast

from palestra.errors import PluginError
from palestra.grading.sandbox import Command, Limits, Sandbox

_HEADER = struct.Struct("!I")
_START_S = 60.0
_INPUT_S = 30.0
_END_S = 2.0


class ProgramFailed(Exception):
    """The program's own fault: it ended, hung or said what is no answer."""


class OtherValue(ProgramFailed):
    """The program returned what is not plain data; all that is known of it is whether it is true.

    Attributes:
        true: what ``bool()`` said of it.
    """

    def __init__(self, text: str, true: bool) -> None:
        super().__init__(text)
        self.true = true


class Session:
    """A sandbox whose driver waits for its program.

    Args:
        sandbox: where to run it.
        limits: of the program; `Limits.timeout_s` is for each case, from its begin to its end.

    Attributes:
        usable: whether another case may follow; not so after a hang, or an answer that is none.

    Raises:
        PluginError: the sandbox does not start.
    """

    def __init__(self, sandbox: Sandbox, limits: Limits) -> None:
        self.limits = limits
        told = json.dumps({"cpu_s": limits.timeout_s, "output_bytes": limits.output_bytes})
        command = Command(argv=("python3", "-I", "-S", "-B", "driver.py", told), files=_files())
        self._process = sandbox.start(command, limits)
        self._begun = False
        self._deadline = 0.0
        self.usable = True

    def begin(self) -> None:
        """Wait until the driver is there: nothing of the program has run yet.

        Raises:
            PluginError: it does not come; that is the sandbox's fault.
        """
        if self._begun:
            return
        try:
            self._receive(_START_S)
        except ProgramFailed as exc:
            self.close()
            raise PluginError(f"the sandbox did not start: {exc}") from exc
        self._begun = True

    def load(self, program: str) -> None:
        """Hand over the program; it does not run yet."""
        self._ask({"op": "load", "program": program}, _INPUT_S)

    def run_script(self, stdin: str) -> dict[str, Any]:
        """Run the program as a script; return ``exit``, ``out`` (bytes) and ``error``."""
        return _captured(self._ask({"op": "stdin", "input": stdin}, self.limits.timeout_s))

    def run_command(self, argv: list[str], stdin: bytes, timeout_s: float) -> dict[str, Any]:
        """Run a command in the sandbox, as `run_script`."""
        given = base64.b64encode(stdin).decode()
        return _captured(self._ask({"op": "run", "argv": argv, "input": given}, timeout_s))

    def write(self, name: str, content: bytes) -> None:
        """Write a file into the sandbox."""
        encoded = base64.b64encode(content).decode()
        self._ask({"op": "write", "name": name, "content": encoded}, _INPUT_S)

    def open_case(self) -> None:
        """Run the program afresh, as a module, ready to be called.

        Raises:
            ProgramFailed: it raises where it is imported, and how.
        """
        self.begin()
        self._deadline = time.monotonic() + self.limits.timeout_s
        answer = self._ask({"op": "case"}, self.limits.timeout_s)
        if "error" in answer:
            self.close_case()
            raise ProgramFailed(str(answer["error"]))

    def call(self, name: str, args: bytes, kwargs: bytes) -> bytes:
        """Call a function of the program with plain data; return plain data, still as bytes.

        Raises:
            ProgramFailed: it raised, did not answer, or returned `OtherValue`.
        """
        asked = {"op": "call", "name": name, "args": args.decode(), "kwargs": kwargs.decode()}
        answer = self._ask(asked, self._deadline - time.monotonic())
        if "other" in answer:
            text = f"{name} returned no plain data ({answer['other']})"
            raise OtherValue(text, answer.get("true") is True)
        if not isinstance(answer.get("value"), str):
            raise ProgramFailed(str(answer.get("error", "it gave no value")))
        return cast("str", answer["value"]).encode("utf-8", "replace")

    def close_case(self) -> None:
        """End what `open_case` began."""
        with contextlib.suppress(ProgramFailed):
            self._ask({"op": "done"}, _END_S)

    def close(self) -> None:
        """Kill the sandbox and all that is in it."""
        self._process.end()

    def _ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        self.begin()
        data = json.dumps(request).encode("ascii")
        try:
            self._process.write(_HEADER.pack(len(data)) + data, _INPUT_S)
        except (OSError, TimeoutError):
            self.usable = False
            raise ProgramFailed("the program ended") from None
        try:
            answer = self._receive(timeout_s)
        except ProgramFailed:
            self.usable = False
            raise
        if "ended" in answer:
            raise ProgramFailed(_how(answer["ended"]))
        return answer

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        try:
            (length,) = _HEADER.unpack(self._exactly(_HEADER.size, deadline))
            if length > 2 * self.limits.output_bytes:
                raise ProgramFailed("more output than is allowed")
            answer = json.loads(self._exactly(length, deadline))
        except TimeoutError:
            raise ProgramFailed(f"no answer within {self.limits.timeout_s:g} s") from None
        except (ValueError, RecursionError):
            raise ProgramFailed("it said what is no answer") from None
        if not isinstance(answer, dict):
            raise ProgramFailed("it said what is no answer")
        return cast("dict[str, Any]", answer)

    def _exactly(self, count: int, deadline: float) -> bytes:
        parts: list[bytes] = []
        while count:
            try:
                part = self._process.read(min(count, 1 << 20), deadline - time.monotonic())
            except TimeoutError:
                raise
            except OSError:
                part = b""
            if not part:
                raise ProgramFailed("the program ended")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def _captured(answer: dict[str, Any]) -> dict[str, Any]:
    try:
        out = base64.b64decode(answer["out"], validate=True)
        code, error, cut = int(answer["exit"]), str(answer["error"]), bool(answer["truncated"])
    except (KeyError, ValueError, TypeError):
        raise ProgramFailed("it said what is no answer") from None
    if cut:
        raise ProgramFailed("more output than is allowed")
    return {"out": out, "exit": code, "error": error}


def _how(code: object) -> str:
    if isinstance(code, int) and code < 0:
        return f"the program was ended by signal {-code}"
    return f"the program ended with status {code}" if isinstance(code, int) else "it ended"


def _files() -> dict[str, bytes]:
    folder = resources.files("palestra_code")
    return {name: (folder / name).read_bytes() for name in ("driver.py", "plain.py")}
