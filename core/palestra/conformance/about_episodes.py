"""Checks of episodes: how they end, what `info` carries, how long a step takes."""

from __future__ import annotations

import math
import time
import warnings
from collections import defaultdict
from statistics import median
from typing import Any, cast

from palestra.conformance.check import (
    Check,
    Make,
    Violation,
    judged,
    single_turn,
    tried,
    without_reference,
)
from palestra.conformance.episodes import begin
from palestra.conformance.evidence import GRADING_LIMIT_S, Evidence
from palestra.conformance.statistics import beats_chance
from palestra.envs.together import step_alone
from palestra.plugins.specs import EnvironmentSpec
from palestra.terminal import one_line

LEAST_PAIRS_PER_S = 10
AT_RESET = ("task_id", "split", "prompt_hash", "messages", "stop_reason")
AFTER_A_STEP = (
    *AT_RESET,
    "reward_components",
    "reward_status",
    "reward_valid",
    "extracted_answer",
    "reason",
)
VERDICTS = {"ok": True, "unparsable": True, "timeout": False, "error": False, "pending": False}


@tried(
    "gymnasium-check-env",
    "Gymnasium's own checker passes it",
    "read what the checker says; TextEnv's reset() and step() keep it",
)
def gymnasium_checks(make: Make, spec: EnvironmentSpec) -> str:
    """Run `gymnasium.utils.env_checker.check_env`."""
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():  # of spaces and rendering, which text environments do without
        warnings.simplefilter("ignore")
        try:
            check_env(make(), skip_render_check=True)
        except Exception as exc:  # its failures are of many types
            raise Violation(one_line(f"{type(exc).__name__}: {exc}")[:300]) from exc
    return ""


@tried(
    "info-keeps-the-contract",
    "info carries the keys of the contract, with values that agree with each other",
    "build on SingleTurnEnv or MultiTurnEnv, which fill in info; add to it, take nothing away",
)
def info_contract(make: Make, spec: EnvironmentSpec) -> str:
    """Look at info after a reset and after a step."""
    env = make()
    start = begin(env, 0)
    _keys("reset", start.info, AT_RESET)
    messages = start.info["messages"]
    if not isinstance(messages, list) or not all(_is_message(m) for m in cast("Any", messages)):
        raise Violation("info['messages'] is no list of {'role', 'content'}")
    if not messages or messages[-1]["content"] != start.observation:
        raise Violation("info['messages'] does not end with the observation")
    info = env.step("")[4]
    _keys("step", info, AFTER_A_STEP)
    status, valid = str(info["reward_status"]), info["reward_valid"]
    if status not in VERDICTS or valid is not VERDICTS[status]:
        raise Violation(f"reward_status '{status}' and reward_valid {valid!r} do not agree")
    for name, value in cast("dict[str, Any]", info["reward_components"]).items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise Violation(f"component '{name}' is {value!r}, no finite number")
    return ""


def _keys(when: str, info: dict[str, Any], wanted: tuple[str, ...]) -> None:
    missing = [key for key in wanted if key not in info]
    if missing:
        raise Violation(f"info of {when}() lacks {', '.join(missing)}")


def _is_message(message: object) -> bool:
    return isinstance(message, dict) and {"role", "content"} <= {*cast("dict[str, Any]", message)}


@judged(
    "info-hides-the-reference",
    "neither info nor an observation shows the reference",
    "keep it in the task, which nobody else sees; `reason` says what is wrong, not what is right",
    without_reference,
)
def info_hides(evidence: Evidence) -> str:
    """Look for a place of info that holds the reference more often than chance explains.

    Tasks whose prompt holds the reference itself do not count, and a number may stand in a task id
    by accident: the same place has to show it again and again.
    """
    chance = max(evidence.spec.chance, 0.05)
    values: dict[str, set[str]] = defaultdict(set)
    for leak in evidence.leaks:
        for path, value in leak["values"].items():
            values[path].add(value)
    paths = [path for path, found in values.items() if len(found) > 1]  # a constant tells nothing
    for path in sorted(paths):
        seen = [leak for leak in evidence.leaks if path in leak["values"]]
        shares = [float(path in leak["holding"]) for leak in seen]
        if beats_chance(shares, chance, len(paths)):
            leak = next(leak for leak in seen if path in leak["holding"])
            raise Violation(
                f"{one_line(path)} holds the reference in {int(sum(shares))} of {len(seen)} tasks, "
                f"as '{one_line(leak['reference'])}'"
            )
    return f"{len(values)} places"


@judged(
    "only-limits-truncate",
    "an episode ends terminated, by its own end, or truncated, by max_turns, and never as both",
    "end a turn with done=True, and declare the real max_turns; leave truncation to the framework",
)
def ends(evidence: Evidence) -> str:
    """Look at the end of every graded episode."""
    limit = evidence.spec.max_turns
    for grading in evidence.gradings:
        turns = len(grading.rewards)
        if grading.raised or grading.stuck:
            continue
        if not grading.ended:
            raise Violation(
                f"no end after {turns} turns, with max_turns={limit}: {grading.example}"
            )
        if grading.ended == "both":
            raise Violation(f"terminated and truncated at once: {grading.example}")
        if grading.ended == "truncated" and (limit == 1 or turns < limit):
            raise Violation(f"truncated after {turns} of {limit} turns: {grading.example}")
    return ""


@tried(
    "step-after-the-end-raises",
    "step() before reset(), or after the end, raises gymnasium's ResetNeeded",
    "leave step() to the framework, or raise gymnasium.error.ResetNeeded",
)
def step_after_end(make: Make, spec: EnvironmentSpec) -> str:
    """Step where no episode is going on."""
    import gymnasium

    env = make()
    for when in ("before reset()", "after the end"):
        try:
            env.step("x")
        except gymnasium.error.ResetNeeded:
            pass
        except Exception as exc:
            raise Violation(f"step() {when} raised {type(exc).__name__}") from exc
        else:
            raise Violation(f"step() {when} went through")
        env.reset(seed=0)
        for _ in range(spec.max_turns + 1):
            _, _, terminated, truncated, _ = env.step("x")
            if terminated or truncated:
                break
    return ""


@judged(
    "conversations-only-grow",
    "info['messages'] of a turn begins with the messages of the turn before",
    "add turns to a conversation, rewrite none: the policy's tokens are kept as they were sampled",
    single_turn,
)
def conversations_grow(evidence: Evidence) -> str:
    """Look at the messages of every graded episode."""
    wrong = next((g for g in evidence.gradings if not g.appends and not g.failed), None)
    if wrong is not None:
        raise Violation(f"earlier messages changed: {wrong.example}")
    turns = max((len(g.rewards) for g in evidence.gradings), default=0)
    return f"up to {turns} turns"


@judged(
    "graders-never-raise",
    "whatever the completion, grading comes to a verdict: right, wrong, or no answer found",
    "catch what your parser raises and return 0.0, or Score(status='unparsable')",
)
def never_raise(evidence: Evidence) -> str:
    """Look for gradings without a verdict, but for those that were late."""
    wrong = [
        g
        for g in evidence.gradings
        if g.raised or "error" in g.statuses or (g.stuck and "died" in g.stuck)
    ]
    if wrong:
        worst = wrong[0]
        why = worst.raised or worst.stuck or worst.reason
        raise Violation(
            f"{len(wrong)} of {len(evidence.gradings)} gradings had no verdict, as: "
            f"{worst.example}: {one_line(why)}"
        )
    return f"{len(evidence.gradings)} gradings"


@judged(
    "graders-answer-in-time",
    f"a step takes at most {GRADING_LIMIT_S:g} s, whatever the completion",
    "bound what you parse: refuse long numbers, exponents and nesting before you evaluate anything",
)
def in_time(evidence: Evidence) -> str:
    """Look for gradings that were killed, late, or given up by the grader itself."""
    for grading in evidence.gradings:
        if grading.stuck and "died" not in grading.stuck:
            raise Violation(f"{grading.example}: {grading.stuck}")
        if grading.slowest_s > GRADING_LIMIT_S:
            raise Violation(f"{grading.example}: {grading.slowest_s:.1f} s")
        if "timeout" in grading.statuses:
            raise Violation(f"{grading.example}: status 'timeout': {one_line(grading.reason)}")
    times = [g.slowest_s for g in evidence.gradings]
    slowest = max(times, default=0.0)
    return f"median {median(times or [0.0]) * 1e6:.0f} us, slowest {slowest * 1e3:.0f} ms"


@tried(
    "quick-enough",
    f"at least {LEAST_PAIRS_PER_S} reset and step pairs a second, on one core",
    "load data and models once, in the constructor or on first use, and not at every reset",
)
def quick(make: Make, spec: EnvironmentSpec) -> str:
    """Time pairs in three short windows, and take the best."""
    env = make()
    begin(env, 0)
    env.step("")  # what loads on first use
    best, seed = 0.0, 0
    for _ in range(3):
        since, pairs = time.perf_counter(), 0
        while (passed := time.perf_counter() - since) < 0.1:
            env.reset(seed=seed)
            step_alone(env, "<answer>0</answer>")
            seed, pairs = seed + 1, pairs + 1
        best = max(best, pairs / passed)
    if best < LEAST_PAIRS_PER_S:
        raise Violation(f"{best:.1f} pairs a second")
    return f"{best:,.0f} pairs a second"


CHECKS: tuple[Check, ...] = (
    gymnasium_checks,
    info_contract,
    info_hides,
    ends,
    step_after_end,
    conversations_grow,
    never_raise,
    in_time,
    quick,
)
