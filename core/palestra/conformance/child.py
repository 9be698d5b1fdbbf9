"""The process in which an environment is made and graded, so that a hang can be killed.

Run as ``python -m palestra.conformance.child``: a JSON line with the job comes in on the standard
input, JSON lines go out on what was the standard output. Whatever the environment itself prints
goes to the standard error.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import sys
from typing import Any, TextIO, cast

from palestra.errors import ConfigError, PalestraError


def serve(job: dict[str, Any], out: TextIO, subject: Any = None) -> None:
    """Do one job and say how it ended.

    Args:
        job: ``work`` (``gather``, ``fingerprint`` or ``profile``), ``skip``, and in another
            interpreter ``path``, ``files`` and ``pickle`` of its subject.
        out: where records go, a JSON line each.
        subject: the `Subject`, in a fork, which has it already.
    """

    def send(record: dict[str, Any]) -> None:
        out.write(json.dumps(record) + "\n")
        out.flush()

    try:
        from palestra.conformance.gather import Gatherer

        subject = subject or _unpickled(job)
        gatherer = Gatherer(subject, send, job.get("skip", ()))
        if job["work"] == "gather":
            gatherer.run()
        elif job["work"] == "fingerprint":
            gatherer.fingerprint(gatherer.make())
        else:
            from palestra.conformance.profile import measure

            measure(subject, send)
    except (Exception, SystemExit) as exc:
        send({_kind(exc): (str(exc) if isinstance(exc, PalestraError) else _named(exc))[:600]})
    else:
        send({"end": True})


def _kind(exc: BaseException) -> str:
    if isinstance(exc, _Unpicklable):
        return "unpicklable"
    return "misused" if isinstance(exc, ConfigError) else "raised"


def _named(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}"


class _Unpicklable(Exception):
    """This interpreter cannot import what the subject is made of."""


def _unpickled(job: dict[str, Any]) -> Any:
    """Make the subject again: its bytes come from the process that started this one."""
    sys.path[:] = job["path"]
    for file in job["files"]:
        from palestra.plugins.registry import get_registry

        get_registry().add_local(file)
    try:
        return pickle.loads(base64.b64decode(job["pickle"]))
    except (ImportError, AttributeError) as exc:
        raise _Unpicklable(str(exc)) from exc


def main() -> None:
    """Read the job, and keep the pipe for records alone."""
    out = cast("TextIO", os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    job = json.loads(sys.stdin.readline())
    with contextlib.suppress(BrokenPipeError):
        serve(job, out)


if __name__ == "__main__":
    main()
