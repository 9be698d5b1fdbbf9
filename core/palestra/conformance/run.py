"""`conform`: gather the evidence, from as many children as it takes, and judge it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from palestra.conformance.about_rewards import false_fails, false_passes
from palestra.conformance.catalogue import CHECKS, SAME_TASKS, STARTS
from palestra.conformance.check import Check, Result, Violation
from palestra.conformance.evidence import Evidence, Grading
from palestra.conformance.report import NOT_LOOKED_AT, Report
from palestra.conformance.runner import Child, Killed, Unpicklable
from palestra.conformance.subject import Subject, subject_of
from palestra.plugins.specs import EnvironmentSpec

if TYPE_CHECKING:
    from palestra.envs.env import TextEnv

HASH_SEEDS = (1, 2)
"""Of the two further processes that say which tasks the first seeds give."""

MOST_KILLED = 6
"""A child that is killed more often is not started again: what it shows is clear."""


def check_names() -> list[str]:
    """Return the names of all checks, in the order of the report."""
    return [check.name for check in CHECKS]


def conform(
    env: TextEnv | str,
    kwargs: Mapping[str, object] | None = None,
    *,
    spec: EnvironmentSpec | None = None,
) -> Report:
    """Hold an environment to every check.

    Args:
        env: an id, or an environment that need not be registered.
        kwargs: arguments of the constructor, for an id.
        spec: what to hold an object to; by default what is registered under its id.

    Raises:
        NotFound: nothing has the id.
        ConfigError: its constructor does not take the arguments.
    """
    return _conform(subject_of(env, kwargs or {}, spec))


def _conform(subject: Subject) -> Report:
    evidence = Evidence(spec=subject.spec)
    try:
        fork = False
        tasks = [_gather(subject, evidence, fork=False)]
    except Unpicklable:
        fork = True
        tasks = [_gather(subject, evidence, fork=True)]
    if not evidence.stopped:
        tasks += _elsewhere(subject, fork=fork)
        evidence.tried[SAME_TASKS.name] = _compared(tasks)
        evidence.notes[SAME_TASKS.name] = (
            "forks of this process: the class is in no module that another one can import"
            if fork
            else f"{len(tasks)} processes"
        )
    evidence.tried[STARTS.name] = evidence.stopped
    results = [_judged(check, evidence) for check in CHECKS]
    paid, probes = false_passes(evidence)
    references = sum(1 for g in evidence.gradings if g.probe == "reference")
    return Report(
        env=subject.name,
        results=tuple(results),
        false_passes=paid,
        probes=probes,
        false_fails=len(false_fails(evidence)),
        references=references,
    )


def _gather(subject: Subject, evidence: Evidence, *, fork: bool) -> list[str]:
    """Fill in the evidence; return the tasks of the first seeds."""
    skip: list[str] = []
    tasks: list[str] = []
    for _ in range(MOST_KILLED):
        evidence.draws.clear()
        evidence.leaks.clear()
        with Child(subject, "gather", skip=skip, fork=fork) as child:
            try:
                for record in child.records():
                    if "fingerprint" in record:
                        tasks = record["fingerprint"]
                        continue
                    evidence.add(record["kind"], record["record"])
                    if "key" in record:
                        skip.append(record["key"])
            except Killed as killed:
                _note_killed(evidence, killed, skip)
                if evidence.stopped:
                    return tasks
            else:
                return tasks
    evidence.stopped = f"its process was killed {MOST_KILLED} times"
    return tasks


def _note_killed(evidence: Evidence, killed: Killed, skip: list[str]) -> None:
    """Write down what the child was doing, and never do that again."""
    kind, _, rest = killed.key.partition("/")
    if kind == "grade" and rest.count("/") >= 2:
        probe, variant = rest.split("/", 1)
        variant, _, task = variant.rpartition("/")
        skip.append(f"grade/{probe}/{variant}")
        evidence.gradings.append(
            Grading(probe=probe, variant=variant, task=int(task), stuck=killed.why, **killed.about)
        )
    elif kind == "try":
        skip.append(killed.key)
        evidence.tried[rest] = killed.why
    else:
        evidence.stopped = f"{killed.key}: {killed.why}"


def _elsewhere(subject: Subject, *, fork: bool) -> list[list[str]]:
    """Return the tasks of the first seeds in further processes, at the same time."""

    def fingerprint(hash_seed: int) -> list[str]:
        with Child(subject, "fingerprint", hash_seed=hash_seed, fork=fork) as child:
            try:
                return next(r["fingerprint"] for r in child.records() if "fingerprint" in r)
            except (Killed, StopIteration):
                return []

    with ThreadPoolExecutor(1 if fork else len(HASH_SEEDS)) as pool:
        return list(pool.map(fingerprint, HASH_SEEDS))


def _compared(tasks: list[list[str]]) -> str:
    first, *others = tasks
    for other in others:
        different = [n for n, (a, b) in enumerate(zip(first, other, strict=False)) if a != b]
        if len(first) != len(other) or different:
            return (
                f"{len(different) or len(first)} of {len(first)} seeds gave another task in "
                f"another process, the first of them {different[0] if different else 0}"
            )
    return ""


def _judged(check: Check, evidence: Evidence) -> Result:
    facts: dict[str, Any] = {"name": check.name, "demand": check.demand}
    reason = check.not_applicable(evidence.spec)
    if reason:
        return Result(state="n/a", what=reason, **facts)
    try:
        if check.judge is None:
            note = _of_trial(check.name, evidence)
        else:
            note = check.judge(evidence)
            if evidence.stopped:  # no check passes on work that was given up
                raise Violation(NOT_LOOKED_AT)
    except Violation as violation:
        blind = evidence.stopped and not evidence.gradings and check is not STARTS
        what = NOT_LOOKED_AT if blind else str(violation)
        return Result(state="failed", what=what, mend=check.mend, **facts)
    return Result(state="ok", what=note, **facts)


def _of_trial(name: str, evidence: Evidence) -> str:
    if name not in evidence.tried:
        raise Violation(NOT_LOOKED_AT)
    if evidence.tried[name]:
        raise Violation(evidence.tried[name])
    return evidence.notes.get(name, "")
