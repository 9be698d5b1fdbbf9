"""The driver: the first process of a sandbox, which runs a program's cases, each in a fork.

It reads requests from its standard input and answers on its standard output, each a length and as
many bytes. It knows a program and inputs. What is expected it is never told, so nothing that a
program does to it, and it can do everything, is worth anything: at most it changes its own values.

    {"op": "load", "program": TEXT}          the program of this sandbox -> {"ready": true}
    {"op": "stdin", "input": TEXT}           run it as a script          -> {"exit", "out", ...}
    {"op": "case"}                           fork; the fork runs the program and answers:
        {"op": "call", "name", "args", "kwargs"}   -> {"value"}, {"other"} or {"error"}
        {"op": "done"}                       the fork ends, as it does by itself -> {"ended"}
    {"op": "run", "argv", "input"}           run a command               -> {"exit", "out", ...}
    {"op": "write", "name", "content"}       write a file                -> {"ready": true}
"""

from __future__ import annotations

import binascii
import contextlib
import json
import os
import resource
import signal
import struct
import sys
from functools import partial
from typing import Any

sys.path.insert(0, os.getcwd())
plain: Any = __import__("plain")  # lies beside this file in the sandbox
del sys.path[0]

_HEADER = struct.Struct("!I")
_TEXT = 400  # characters of an error's text that are passed on


def main() -> None:
    """Answer requests until the other end closes."""
    inward, outward = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    limits = json.loads(sys.argv[1])
    send(outward, {"ready": True})
    program = ""
    while (request := receive(inward)) is not None:
        op = request["op"]
        if op == "load":
            program = request["program"]
            send(outward, {"ready": True})
        elif op == "write":
            with open(request["name"], "wb") as file:
                file.write(binascii.a2b_base64(request["content"]))
            send(outward, {"ready": True})
        elif op == "case":
            ended = in_fork(limits, partial(serve_calls, inward, outward, program))
            send(outward, {"ended": ended["exit"]})
        elif op == "stdin":
            given = request["input"].encode("utf-8", "surrogatepass")
            send(outward, captured(limits, given, partial(run_script, program)))
        elif op == "run":
            given, argv = binascii.a2b_base64(request["input"]), request["argv"]
            send(outward, captured(limits, given, partial(os.execvp, argv[0], argv)))


def in_fork(limits: dict[str, Any], work: Any) -> dict[str, Any]:
    """Do `work` in a fork with a group of its own; return how it ended."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()
            seconds = int(limits["cpu_s"]) + 1
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            code = work() or 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    return {"exit": os.waitstatus_to_exitcode(status)}


def captured(limits: dict[str, Any], given: bytes, work: Any) -> dict[str, Any]:
    """Do `work` in a fork with `given` as its standard input, and return what it wrote."""
    source, sink, errors = (os.memfd_create(name) for name in ("in", "out", "err"))
    write_all(source, given)
    os.lseek(source, 0, os.SEEK_SET)

    def redirected() -> int:
        for descriptor, number in ((source, 0), (sink, 1), (errors, 2)):
            os.dup2(descriptor, number)
        os.closerange(3, 256)
        return work()

    answer = in_fork(limits, redirected)
    kept, size = limits["output_bytes"], os.fstat(sink).st_size
    answer["out"] = binascii.b2a_base64(os.pread(sink, kept, 0), newline=False).decode()
    answer["truncated"] = size > kept
    tail = max(0, os.fstat(errors).st_size - _TEXT)
    answer["error"] = os.pread(errors, _TEXT, tail).decode("utf-8", "replace")
    for descriptor in (source, sink, errors):
        os.close(descriptor)
    return answer


def run_script(program: str) -> int:
    """Run a program as ``python program.py`` would."""
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace")  # noqa: SIM115
    code = 0
    try:
        exec(compile(program, "program.py", "exec"), fresh("__main__"))
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else 1 if exc.code else 0
    except BaseException as exc:
        sys.stderr.write(describe(exc))
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code & 0xFF


def serve_calls(inward: int, outward: int, program: str) -> int:
    """Run a program as a module, then call its functions as asked."""
    trouble = ""
    namespace = fresh("program")
    try:
        exec(compile(program, "program.py", "exec"), namespace)
    except BaseException as exc:
        trouble = describe(exc)
    send(outward, {"error": trouble} if trouble else {"ready": True})
    while (request := receive(inward)) is not None and request["op"] == "call":
        try:
            function = find(namespace, request["name"])
            args = plain.loads(request["args"].encode())
            kwargs = plain.loads(request["kwargs"].encode())
            value = function(*args, **kwargs)
            try:
                send(outward, {"value": plain.dumps(value).decode()})
            except plain.NotPlain as exc:
                send(outward, {"other": str(exc), "true": bool(value)})
        except BaseException as exc:
            send(outward, {"error": describe(exc)})
    return 0


def find(namespace: dict[str, Any], name: str) -> Any:
    """Return a function of the program, or a method of its ``Solution``."""
    if name in namespace:
        return namespace[name]
    if isinstance(namespace.get("Solution"), type):
        return getattr(namespace["Solution"](), name)
    raise NameError(f"the program defines no '{name}'")


def fresh(name: str) -> dict[str, Any]:
    """Return the namespace of a new module, which `sys.modules` knows."""
    module = type(sys)(name)
    sys.modules[name] = module
    return module.__dict__


def describe(exc: BaseException) -> str:
    """Return an error as one short text."""
    try:
        text = f"{type(exc).__name__}: {exc}"
    except BaseException:
        text = type(exc).__name__
    frame, line = exc.__traceback__, 0
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == "program.py":
            line = frame.tb_lineno
        frame = frame.tb_next
    line = line or getattr(exc, "lineno", 0) or 0
    return text[:_TEXT] + (f" (line {line})" if line else "")


def send(descriptor: int, message: dict[str, Any]) -> None:
    """Write one message."""
    data = json.dumps(message).encode("ascii")
    write_all(descriptor, _HEADER.pack(len(data)) + data)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def receive(descriptor: int) -> dict[str, Any] | None:
    """Read one message; None at the end."""
    header = exactly(descriptor, _HEADER.size)
    return json.loads(exactly(descriptor, _HEADER.unpack(header)[0])) if header else None


def exactly(descriptor: int, count: int) -> bytes:
    """Read so many bytes; fewer only at the end."""
    parts: list[bytes] = []
    while count:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            return b""
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


if __name__ == "__main__":
    main()
