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
import resource
import select
import sys
import threading
from typing import Any, TextIO, cast

from palestra.errors import ConfigError, PalestraError

CPU_LIMIT_S = 600
"""CPU seconds that the process may take in all."""


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
    _end_with_the_reader(out.fileno())
    job = json.loads(sys.stdin.readline())
    with contextlib.suppress(BrokenPipeError):
        serve(job, out)


def _end_with_the_reader(pipe: int) -> None:
    """End this process when nobody reads its records any more, although it hangs.

    Where not even a thread gets a turn (a pattern that backtracks for ever), the CPU limit ends it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = CPU_LIMIT_S if hard == resource.RLIM_INFINITY else min(CPU_LIMIT_S, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (limit if soft < 0 else min(soft, limit), hard))

    def watch() -> None:
        poll = select.poll()
        poll.register(pipe, select.POLLERR)
        poll.poll()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
