"""Every check there is, in the order of the report."""

from __future__ import annotations

from palestra.conformance import about_episodes, about_rewards, about_tasks
from palestra.conformance.check import Check

STARTS = Check(
    name="makes-and-resets",
    demand="the environment can be made and reset, again and again, in time",
    mend="mend the constructor or sample(); everything else is looked at after that",
)
SAME_TASKS = Check(
    name="same-tasks-in-every-process",
    demand="the first seeds give the same tasks in every process, whatever PYTHONHASHSEED is",
    mend="iterate over sorted() sets, and use hashlib, not hash(); draw from the given `rng` alone",
)
"""Both are looked at by the parent, which alone knows its children."""

CHECKS: tuple[Check, ...] = (
    STARTS,
    SAME_TASKS,
    *about_tasks.CHECKS,
    *about_episodes.CHECKS,
    *about_rewards.CHECKS,
)
