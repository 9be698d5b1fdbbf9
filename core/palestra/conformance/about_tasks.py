"""Checks of tasks: the seed decides them, splits keep apart, and they are plain data."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Mapping
from typing import Any, cast

from palestra.conformance.check import Check, Make, Violation, judged, tried
from palestra.conformance.episodes import Start, begin
from palestra.conformance.evidence import Evidence
from palestra.envs.spaces import TextSpace
from palestra.plugins.specs import EnvironmentSpec
from palestra.terminal import one_line

SEEDS = range(20)
GROUP = 8
ENOUGH = 100


def _shown(start: Start) -> str:
    return one_line(f"'{start.prompt[:80]}'")


@tried(
    "seed-decides-the-task",
    "reset(seed=n) gives the same task whatever was reset, or drawn from global generators, before",
    "draw from the `rng` that sample() is given, and keep nothing between resets",
)
def seed_decides(make: Make, spec: EnvironmentSpec) -> str:
    """Reset with seeds forwards, then backwards with the world's generators stirred."""
    import numpy as np

    env = make()
    first = {seed: begin(env, seed) for seed in SEEDS}
    for seed in reversed(SEEDS):
        random.seed(seed * 7 + 1)
        np.random.seed(seed * 7 + 1)  # the generator that authors use by mistake
        again = begin(env, seed)
        if again.prompt != first[seed].prompt or again.reference != first[seed].reference:
            raise Violation(
                f"seed {seed} gave {_shown(first[seed])}, and after other resets {_shown(again)}"
            )
    return ""


@tried(
    "task-id-names-the-task",
    "reset(options={'task_id': info['task_id']}) gives the task again",
    "give each task an id of its own, or none: then the framework does",
)
def task_id_names(make: Make, spec: EnvironmentSpec) -> str:
    """Ask for tasks by the ids that they were given with."""
    env = make()
    for seed in SEEDS:
        start = begin(env, seed)
        again = env.reset(options={"task_id": start.info.get("task_id")})
        if again[0] != start.observation:
            raise Violation(
                f"task_id '{start.info.get('task_id')}' gave '{one_line(str(again[0])[:80])}', "
                f"not {_shown(start)}"
            )
    return ""


@tried(
    "group-members-share-one-prompt",
    f"{GROUP} instances that are reset with one seed show one prompt",
    "let nothing but the seed decide the task: no counter, salt or clock of the class or instance",
)
def group_shares(make: Make, spec: EnvironmentSpec) -> str:
    """Reset new instances, as a group's members are."""
    for seed in (3, 4):
        members = [begin(make(), seed) for _ in range(GROUP)]
        other = next((m for m in members if m.prompt_hash != members[0].prompt_hash), None)
        if other is not None:
            raise Violation(
                f"seed {seed} gave {_shown(members[0])} and {_shown(other)} in two instances"
            )
    return ""


@judged(
    "splits-share-no-prompt",
    "no prompt stands in two splits, by its content and not only by its index",
    "take duplicates out, or let the framework split: sample() tasks and the prompt's hash decides",
    lambda spec: "" if len(spec.splits) > 1 else "the spec declares a single split",
)
def splits_are_disjoint(evidence: Evidence) -> str:
    """Compare the hashes of the prompts of every two splits."""
    owner: dict[str, str] = {}
    found = [(d.split, d.prompt_hash) for d in evidence.draws]
    found += [(split, h) for split, hashes in evidence.listed.items() for h in hashes]
    ids = {d.prompt_hash: d.task_id for d in evidence.draws}
    shared = [(s, h) for s, h in found if owner.setdefault(h, s) != s]
    if shared:
        split, hash_ = shared[0]
        count = len({h for _, h in shared})
        raise Violation(
            f"{count} prompts stand in two splits, one of them in '{owner[hash_]}' and '{split}': "
            f"{one_line(ids.get(hash_, hash_))}"
        )
    return f"{len(owner)} prompts"


@judged(
    "every-split-has-tasks",
    "every declared split gives tasks, and info['split'] names it",
    "declare the splits that there are (EnvironmentSpec.splits), and heed the option 'split'",
)
def splits_have_tasks(evidence: Evidence) -> str:
    """Look for a split without a draw, or with another name."""
    for split, problem in evidence.without_tasks.items():
        raise Violation(f"split '{split}': {one_line(problem)}")
    for split in evidence.spec.splits:
        drawn = [d for d in evidence.draws if d.split == split]
        if not drawn:
            raise Violation(f"split '{split}' gave no task")
        wrong = next((d for d in drawn if d.told != split), None)
        if wrong is not None:
            raise Violation(f"asked for split '{split}', info['split'] is '{one_line(wrong.told)}'")
    return ""


@judged(
    "declared-size-is-true",
    "each split holds as many tasks as the spec's `size` says",
    "write the real numbers into EnvironmentSpec.size, or leave it out",
    lambda spec: "" if spec.size is not None else "the spec declares no size",
)
def size_is_true(evidence: Evidence) -> str:
    """Compare the listed tasks with the declared number."""
    for split, size in (evidence.spec.size or {}).items():
        listed = evidence.sizes.get(split)
        if listed is not None and listed != size:
            raise Violation(f"split '{split}' holds {listed} tasks, and {size} are declared")
    return ""


@judged(
    "enough-distinct-tasks",
    f"200 draws of a split give at least {ENOUGH} prompts, or all where it holds fewer",
    "draw from a larger set, or declare how many tasks there are (EnvironmentSpec.size)",
)
def distinct(evidence: Evidence) -> str:
    """Count the prompts of the first split; of a slow environment fewer draws are enough."""
    split = evidence.spec.splits[0]
    hashes = [d.prompt_hash for d in evidence.draws if d.split == split]
    counted = split in evidence.sizes or split in (evidence.spec.size or {})
    wanted = min(ENOUGH, len(hashes) if counted else len(hashes) // 2)
    if len(set(hashes)) < wanted:
        raise Violation(
            f"{len(hashes)} draws of split '{split}' gave {len(set(hashes))} prompts, not {wanted}"
        )
    return f"{len(set(hashes))} of {len(hashes)}"


@tried(
    "tasks-are-plain-data",
    "prompt, reference, metadata and info are what JSON can hold",
    "turn NumPy numbers into int() and float(), sets into sorted lists, objects into dicts",
)
def plain_data(make: Make, spec: EnvironmentSpec) -> str:
    """Write tasks and infos as JSON."""
    env = make()
    for seed in SEEDS:
        start = begin(env, seed)
        task = start.task
        parts: dict[str, Any] = {"info": start.info}
        if task is not None:
            parts |= {
                part: getattr(task, part, None)
                for part in ("prompt", "reference", "metadata", "system", "language", "tools")
            }
        parts["info after a step"] = env.step("")[4]
        for part, value in parts.items():
            value = dict(cast("Mapping[str, Any]", value)) if part == "metadata" else value
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError) as exc:
                raise Violation(
                    f"seed {seed}: {part} is no plain data: {one_line(str(exc))}"
                ) from exc
    return ""


@tried(
    "spec-and-task-pickle",
    "spec and task go to another process and come back equal",
    "use types that are defined at the top level of a module",
)
def pickles(make: Make, spec: EnvironmentSpec) -> str:
    """Pickle the spec and a task."""
    env = make()
    things: dict[str, Any] = {"the spec": spec, "a task": begin(env, 0).task}
    for what, value in things.items():
        try:
            same = pickle.loads(pickle.dumps(value)) == value
        except Exception as exc:
            problem = f"{type(exc).__name__}: {exc}"
            raise Violation(f"{what} does not pickle: {one_line(problem)}") from exc
        if not same:
            raise Violation(f"{what} comes back from a pickle as something else")
    return ""


@tried(
    "unknown-options-raise",
    "an option of reset() that is unknown, or has a bad value, raises",
    "leave reset() to the framework, or refuse what you do not know",
)
def unknown_options(make: Make, spec: EnvironmentSpec) -> str:
    """Reset with misspelt options."""
    env = make()
    wrong: tuple[dict[str, Any], ...] = (
        {"splitt": "test"},
        {"split": "tests"},
        {"index": -1},
        {"task_id": "no such task"},
    )
    for options in wrong:
        try:
            env.reset(seed=0, options=options)
        except Exception:  # which one is the author's choice
            continue
        raise Violation(f"reset(options={options}) was taken without a word")
    return ""


@tried(
    "difficulty-is-kept",
    "the option 'difficulty' gives tasks of that level, and a level that there is not raises",
    "use the `difficulty` that sample() is given, and set no other in the task's metadata",
)
def difficulty_is_kept(make: Make, spec: EnvironmentSpec) -> str:
    """Ask for each level, and for one above the highest."""
    env: Any = make()
    low, high = getattr(env, "difficulties", (1, 1))
    if low == high:
        return "one level"
    for level in range(low, high + 1):
        for seed in range(3):
            told = begin(env, seed, difficulty=level).info.get("difficulty")
            if told != level:
                raise Violation(f"asked for level {level}, info['difficulty'] is {told!r}")
    try:
        begin(env, 0, difficulty=high + 1)
    except Exception:
        return f"levels {low} to {high}"
    raise Violation(f"level {high + 1} was taken, above the highest, {high}")


@tried(
    "spaces-hold-text",
    "both spaces hold any text, the empty one and other scripts too",
    "use palestra.envs.TextSpace for observations and actions",
)
def spaces_hold_text(make: Make, spec: EnvironmentSpec) -> str:
    """Ask both spaces for texts that `gymnasium.spaces.Text` refuses."""
    env = make()
    for name, space in (("action", env.action_space), ("observation", env.observation_space)):
        for text in ("", "What is 2+2?\n", "等于多少？"):
            if text not in space:
                raise Violation(f"the {name} space {str(space)[:60]} does not hold {text!r}")
    return "" if isinstance(env.action_space, TextSpace) else "not a TextSpace"


CHECKS: tuple[Check, ...] = (
    seed_decides,
    task_id_names,
    group_shares,
    splits_are_disjoint,
    splits_have_tasks,
    size_is_true,
    distinct,
    plain_data,
    pickles,
    unknown_options,
    difficulty_is_kept,
    spaces_hold_text,
)
