"""The judge: ``python -m palestra_code.judge FD`` runs the code of tests, which we trust.

A benchmark's asserts know what is expected, so they never run where the program does. Here they
run, in a fork for each verdict, against stand-ins: calling one asks the sandbox for a value, and
only plain data comes back. ``==`` in them compares as `palestra_code.compare.equal` does. The fork
ends itself when its time is up, and with whoever asked.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import json
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

from palestra_code import plain
from palestra_code.compare import equal

HEADER = struct.Struct("!I")
MAX_MESSAGE = 64 * 1024 * 1024
_MEMORY = 2 << 30
_EQUAL = "__palestra_equal__"


class Failed(BaseException):
    """The program gave no value; no ``except Exception`` of a test may take it for something."""


class Other:
    """Stands for a value that is not plain data, such as a match: it is true or not, no more."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, what: str, true: bool) -> None:
        self._what = what
        self._true = true

    def __bool__(self) -> bool:
        return self._true

    def __eq__(self, other: object) -> bool:
        raise Failed(self._what)


class Fault(Exception):
    """The test cannot be run, whatever the program does."""


def main() -> None:
    """Fork for every socket that comes in on the one whose descriptor is the first argument."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = socket.socket(fileno=int(sys.argv[1]))
    while True:
        said, descriptors, _, _ = socket.recv_fds(server, 1, 1)
        if not said:
            return
        if os.fork() == 0:
            try:
                server.close()
                os.dup2(2, 1)  # what a test prints is nobody's
                resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
                serve(socket.socket(fileno=descriptors[0]))
            finally:
                os._exit(0)
        os.close(descriptors[0])


def serve(connection: socket.socket) -> None:
    """Come to one verdict."""
    asked = receive(connection)
    signal.setitimer(signal.ITIMER_REAL, asked["timeout_s"])  # whose default is the end
    calls = 0

    def stand_in(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            try:
                packed = {
                    "args": plain.dumps(args).decode(),
                    "kwargs": plain.dumps(kwargs).decode(),
                }
            except plain.NotPlain as exc:
                raise Fault(f"it hands {exc} to the program, which is not plain data") from None
            send(connection, {"call": name, **packed})
            answer = receive(connection)
            if "true" in answer:
                return Other(answer["error"], answer["true"])
            if "value" not in answer:
                raise Failed(answer["error"])
            try:
                return plain.loads(answer["value"].encode())
            except plain.NotPlain as exc:
                raise Failed(f"{name} returned no plain data ({exc})") from None

        return call

    try:
        verdict = _verdict(asked["code"], asked["entry_point"], stand_in)
        if not calls:
            raise Fault("it never calls the program")
    except Fault as exc:
        verdict = {"fault": str(exc)}
    send(connection, verdict)


def _verdict(
    code: str, entry_point: str, stand_in: Callable[[str], Callable[..., Any]]
) -> dict[str, Any]:
    tree = ast.fix_missing_locations(_Comparisons().visit(ast.parse(code)))
    namespace: dict[str, Any] = {"__name__": "test", _EQUAL: equal}
    if entry_point:
        namespace[entry_point] = namespace["candidate"] = stand_in(entry_point)
    else:
        namespace |= {name: importlib.import_module(name) for name in _modules(tree)}
        namespace |= {name: stand_in(name) for name in free_names(tree)}
    try:
        exec(compile(tree, "test", "exec"), namespace)
        if entry_point:
            namespace["check"](namespace["candidate"])
    except Fault:
        raise
    except AssertionError:
        return {"passed": False, "reason": "wrong answer"}
    except Failed as exc:
        return {"passed": False, "reason": str(exc)}
    except NameError as exc:
        raise Fault(str(exc)) from exc
    except Exception as exc:
        return {"passed": False, "reason": f"wrong answer (the test raised {type(exc).__name__})"}
    return {"passed": True}


def free_names(tree: ast.AST) -> set[str]:
    """Return the names that a test uses and does not define: those of the program.

    A test that uses none but Python's own means a program that defines one of these anew.
    """
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)} | {_EQUAL}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(each.asname or each.name).partition(".")[0] for each in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    bound |= set(_modules(tree))
    own = set(dir(builtins))
    free = {node.id for node in names} - bound - own
    if free:
        return free
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    first = [each.id for each in called if isinstance(each, ast.Name) and each.id in own]
    return set(first[:1])


def _modules(tree: ast.AST) -> list[str]:
    """Return the modules of the standard library that a test uses without importing them."""
    values = [node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    names = {value.id for value in values if isinstance(value, ast.Name)}
    return sorted(names & sys.stdlib_module_names)


class _Comparisons(ast.NodeTransformer):
    """Turns ``a == b`` and ``a != b`` into calls of `equal`."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) != 1 or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            return node
        name = ast.Name(_EQUAL, ast.Load())
        call = ast.Call(name, [node.left, node.comparators[0]], [])
        return call if isinstance(node.ops[0], ast.Eq) else ast.UnaryOp(ast.Not(), call)


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send one message."""
    data = json.dumps(message).encode("ascii")
    connection.sendall(HEADER.pack(len(data)) + data)


def receive(connection: socket.socket) -> dict[str, Any]:
    """Receive one message; `ConnectionError` where the other end is gone."""
    (length,) = HEADER.unpack(_exactly(connection, HEADER.size))
    if length > MAX_MESSAGE:
        raise ConnectionError("a message too large")
    return json.loads(_exactly(connection, length))


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = connection.recv(min(count, 1 << 20))
        if not part:
            raise ConnectionError("the other end is gone")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


if __name__ == "__main__":
    with contextlib.suppress(ConnectionError, KeyboardInterrupt):
        main()
