"""`profile`: how fast an environment draws and grades, how long its prompts are, what it keeps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from palestra.conformance.episodes import begin
from palestra.conformance.subject import Subject
from palestra.envs.together import step_alone
from palestra.errors import EnvironmentFailed

WINDOW_S = 1.0
"""How long each rate is measured."""

PROMPTS = 500
LIMIT_S = 60.0
JUNK = "<think>\nno idea\n</think>\n<answer>no idea</answer>"


def profile(env_id: str, kwargs: Mapping[str, object]) -> dict[str, Any]:
    """Measure an environment in a process of its own.

    Args:
        env_id: its id.
        kwargs: arguments of its constructor.

    Returns:
        Plain data: rates a second, prompt lengths in characters, the share of distinct prompts,
        seconds to import and make, and bytes of memory.

    Raises:
        NotFound: nothing has the id.
        ConfigError: its constructor does not take the arguments.
        EnvironmentFailed: it cannot be made, drawn from or graded in time.
    """
    from palestra.conformance.runner import Child, Killed
    from palestra.conformance.subject import subject_of

    subject = subject_of(env_id, kwargs)
    with Child(subject, "profile") as child:
        try:
            return next(record["profile"] for record in child.records())
        except Killed as killed:
            raise EnvironmentFailed(f"{subject.name}: {killed.key}: {killed.why}") from killed


def measure(subject: Subject, send: Callable[[dict[str, Any]], None]) -> None:
    """Do the child's part, and send the measurements."""
    before, since = _memory(), time.perf_counter()
    send({"begin": "make", "limit_s": LIMIT_S * 2})
    subject.load_plugins()
    env: Any = subject.make()
    made_s = time.perf_counter() - since
    send({"begin": "reset", "limit_s": LIMIT_S})
    starts = [begin(env, 0)]
    until = time.perf_counter() + 2 * WINDOW_S
    while len(starts) < PROMPTS and time.perf_counter() < until:
        starts.append(begin(env, len(starts)))
    lengths = sorted(len(start.prompt) for start in starts)
    distinct = len({start.prompt_hash for start in starts})
    send({"begin": "reset and grade", "limit_s": LIMIT_S})
    resets = _rate(lambda seed: begin(env, seed))
    measured: dict[str, Any] = {
        "env": subject.name,
        "make_s": made_s,
        "tasks_per_s": resets,
        "junk_gradings_per_s": _grading_rate(env, lambda: JUNK),
        "reference_gradings_per_s": None,
        "prompt_characters": {
            "min": lengths[0],
            "median": lengths[len(lengths) // 2],
            "p90": lengths[len(lengths) * 9 // 10],
            "max": lengths[-1],
        },
        "prompts": len(starts),
        "distinct_share": distinct / len(starts),
    }
    begin(env, 0)
    if subject.spec.has_reference and env.reference_completion(env.task) is not None:
        measured["reference_gradings_per_s"] = _grading_rate(
            env, lambda: env.reference_completion(env.task)
        )
    after = _memory()
    grown = after - before if before is not None and after is not None else None
    measured |= {"memory_bytes": after, "memory_growth_bytes": grown}
    send({"profile": measured})


def _rate(work: Callable[[int], object]) -> float:
    since, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - since) < WINDOW_S or not done:
        work(done)
        done += 1
    return done / passed


def _grading_rate(env: Any, text: Callable[[], str]) -> float:
    """Return steps a second, the resets between them not counted."""
    spent, done, until = 0.0, 0, time.perf_counter() + WINDOW_S
    while not done or time.perf_counter() < until:
        begin(env, done)
        completion = text()
        since = time.perf_counter()
        step_alone(env, completion)
        spent, done = spent + time.perf_counter() - since, done + 1
    return done / max(spent, 1e-9)


def _memory() -> int | None:
    """Return the bytes this process has resident; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
