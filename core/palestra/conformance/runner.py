"""The parent's side: start the child, watch its clock, kill it where it hangs, and go on behind.

An interpreter of its own is the rule, with a hash seed of its own. An object whose class no other
interpreter can import (it was defined in a function, or at a prompt) is served by a fork.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, TextIO

from palestra.conformance.subject import Subject
from palestra.errors import ConfigError


class Unpicklable(Exception):
    """Another interpreter cannot make the subject."""


class Killed(Exception):
    """The child was killed, or died, or could not go on, while it did `key`.

    Attributes:
        key: the piece of work.
        why: what happened.
        about: the fields of the `Grading` that are known.
    """

    def __init__(self, key: str, why: str, about: dict[str, Any] | None = None) -> None:
        super().__init__(key, why)
        self.key = key
        self.why = why
        self.about = about or {}


class Child:
    """A process that works for one environment; a context manager that leaves nothing behind.

    Args:
        subject: the environment.
        work: ``gather``, ``fingerprint`` or ``profile``.
        hash_seed: of an interpreter of its own.
        skip: keys of work that is not to be done again.
        fork: whether to fork, for what another interpreter cannot import.
    """

    def __init__(
        self,
        subject: Subject,
        work: str,
        *,
        hash_seed: int = 0,
        skip: list[str] | None = None,
        fork: bool = False,
    ) -> None:
        job: dict[str, Any] = {"work": work, "skip": skip or []}
        self._process: subprocess.Popen[bytes] | None = None
        self._lines, self._pid = (
            self._forked(subject, job) if fork else self._started(subject, job, hash_seed)
        )
        self._doing = ""
        self._about: dict[str, Any] = {}
        self._deadline = float("inf")
        self._late = ""
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield what the child sends.

        Raises:
            Killed: it hung or died, or a reset raised.
            Unpicklable: its interpreter cannot make the subject.
            ConfigError: its constructor does not take the arguments.
        """
        for line in self._lines:
            try:
                record = json.loads(line)
            except ValueError:  # half a line, of a child that was killed
                break
            if "begin" in record:
                self._doing, self._about = record["begin"], record.get("about", {})
                self._deadline = time.monotonic() + record["limit_s"]
            elif "unpicklable" in record:
                raise Unpicklable(record["unpicklable"])
            elif "misused" in record and self._doing == "make":
                raise ConfigError(record["misused"])
            elif "misused" in record or "raised" in record:
                raise Killed(self._doing, record.get("misused") or record["raised"])
            elif "end" in record:
                return
            else:
                yield record
        why = self._late or f"the process died{self._exit()}"
        raise Killed(self._doing, why, self._about)

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            late = time.monotonic() - self._deadline
            if late > 0:
                self._late = "it had not answered in time, and was killed"
                self._kill()
                return

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)

    def _exit(self) -> str:
        code = self._process.wait(timeout=10) if self._process else None
        return "" if code is None else f" (exit code {code})"

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._kill()
        self._lines.close()
        if self._process is not None:
            self._process.wait()
        else:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)

    def _started(self, subject: Subject, job: dict[str, Any], hash_seed: int) -> tuple[TextIO, int]:
        pickled = subject.pickled()
        if pickled is None:
            raise Unpicklable(subject.name)
        job |= {
            "path": sys.path,
            "files": subject.files,
            "pickle": base64.b64encode(pickled).decode(),
        }
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "palestra.conformance.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.close()
        return os.fdopen(os.dup(process.stdout.fileno()), encoding="utf-8"), process.pid

    def _forked(self, subject: Subject, job: dict[str, Any]) -> tuple[TextIO, int]:
        from palestra.conformance.child import serve

        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writing)
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.setpgid(pid, pid)
            return os.fdopen(reading, encoding="utf-8"), pid
        try:  # the child: it never returns
            with contextlib.suppress(PermissionError):
                os.setpgid(0, 0)
            os.close(reading)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            with os.fdopen(writing, "w", encoding="utf-8") as out:
                serve(job, out, subject)
        finally:
            os._exit(0)
