"""Draw tasks of every logic environment, prove each, and print a table.

    python tests/benchmarks/logic_generators.py [--tasks 10000] [ENV_ID ...]

Tasks are drawn as training draws them, level by level. Each reference completion is graded by its
own environment, and each puzzle is solved again from its data: where one solution is promised the
solver looks for a second. A task that fails is printed, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from palestra.envs import Task
from palestra.plugins.registry import get_registry
from palestra.seeding import rng
from palestra_logic import (
    boolean,
    colouring,
    knights,
    maze,
    planning,
    positions,
    sat,
    sudoku,
    syllogism,
)

Proof = Callable[[Task], tuple[bool, float]]
"""Whether the puzzle is what it promises, and a number that says how hard it is."""


def knights_proof(task: Task) -> tuple[bool, float]:
    statements: Any = task.metadata["statements"]
    found = knights.worlds([tuple(s) for s in statements])
    return len(found) == 1, 0.5 ** len(statements)


def boolean_proof(task: Task) -> tuple[bool, float]:
    meta: Any = task.metadata
    value = boolean.evaluate(meta["expression"], meta["values"])
    return str(task.reference) in (("false", "假"), ("true", "真"))[value], float(value)


def sudoku_proof(task: Task) -> tuple[bool, float]:
    meta: Any = task.metadata
    found = sudoku.solutions(tuple(meta["cells"]), meta["rows"], meta["columns"], limit=2)
    return len(found) == 1, float(sum(map(bool, meta["cells"])))


def zebra_proof(task: Task) -> tuple[bool, float]:
    meta: Any = task.metadata
    clues = [tuple(c) for c in meta["clues"]]
    found = positions.solutions(clues, len(meta["names"]), meta["houses"], limit=2)
    return found == [meta["truth"]], float(len(clues))


def syllogism_proof(task: Task) -> tuple[bool, float]:
    meta: Any = task.metadata
    premises = [tuple(p) for p in meta["premises"]]
    kinds = len(meta["names"])
    truth = syllogism.judge(premises, tuple(meta["asked"]), kinds)
    words = (("yes", "是", "ja"), ("no", "否", "nein"), ("unknown", "不确定", "ungewiss"))
    sound = syllogism.consistent(premises, kinds) and task.reference in words[truth]
    return sound, float(truth == 0)


def colouring_proof(task: Task) -> tuple[bool, float]:
    meta: Any = task.metadata
    edges = [tuple(e) for e in meta["edges"]]
    n = len(meta["names"])
    good = colouring.colouring(edges, n, 3) is not None
    bad = colouring.colouring(edges, n, 2) is not None
    generator = rng(0, "guess", task.prompt_hash)
    hits = sum(all(g[a] != g[b] for a, b in edges) for g in generator.integers(0, 3, (20, n)))
    return good and not bad, hits / 20


def sat_proof(task: Task) -> tuple[bool, float]:
    meta: Any = task.metadata
    n = len(meta["names"])
    count = sat.models([tuple(c) for c in meta["clauses"]], n).bit_count()
    return 1 <= count <= max(1, 2**n // sat.RARE), count / 2**n


def maze_proof(task: Task) -> tuple[bool, float]:
    meta: Any = task.metadata
    ways = maze.shortest_ways(meta["maze"], tuple(meta["start"]))
    way = ways.get(tuple(meta["goal"]))
    return way is not None and len(way) == len(meta["way"]), float(len(meta["way"]))


def planning_proof(task: Task) -> tuple[bool, float]:
    meta: Any = task.metadata
    plan = planning.shortest_plan(tuple(meta["start"]), tuple(meta["goal"]))
    return len(plan) == len(meta["plan"]) > 0, float(len(plan))


PROOFS: dict[str, tuple[str, Proof]] = {
    "logic/KnightsAndKnaves-v1": ("unique; share of right guesses", knights_proof),
    "logic/Boolean-v1": ("evaluated; share of true", boolean_proof),
    "logic/Sudoku-v1": ("unique; givens", sudoku_proof),
    "logic/Zebra-v1": ("unique; clues", zebra_proof),
    "logic/Syllogism-v1": ("judged; share of yes", syllogism_proof),
    "logic/GraphColouring-v1": ("3 colours, not 2; share of right guesses", colouring_proof),
    "logic/SAT-v1": ("satisfiable; share of right guesses", sat_proof),
    "logic/Maze-v1": ("solvable; shortest way", maze_proof),
    "logic/Planning-v1": ("solvable; shortest plan", planning_proof),
}


@dataclass(kw_only=True)
class Measured:
    """What was found of one environment."""

    seconds: float = 0.0
    refused: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    distinct: int = 0
    facts: dict[int, float] = field(default_factory=dict)


def measure(env_id: str, tasks: int) -> Measured:
    """Draw `tasks` tasks, as many of each level, grade their references and prove them."""
    env: Any = get_registry().make_env(env_id)
    proof = PROOFS[env_id][1]
    low, high = env.difficulties
    found, prompts = Measured(), set[str]()
    facts: dict[int, list[float]] = {level: [] for level in range(low, high + 1)}
    for number in range(tasks):
        level = low + number % (high - low + 1)
        since = time.perf_counter()
        env.reset(seed=number, options={"difficulty": level})
        found.seconds += time.perf_counter() - since
        task: Task = env.task
        prompts.add(task.prompt_hash)
        proven, fact = proof(task)
        facts[level].append(fact)
        if not proven:
            found.unproven.append(task.id)
        if env.step(env.reference_completion(task))[1] != 1.0:
            found.refused.append(task.id)
    found.distinct = len(prompts)
    found.facts = {level: mean(values) for level, values in facts.items() if values}
    return found


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("env_ids", nargs="*", default=list(PROOFS), metavar="ENV_ID")
    arguments = parser.parse_args()
    print(
        f"{'environment':<27}{'tasks/s':>9}{'distinct':>10}{'refused':>9}{'unproven':>10}"
        "  proven; mean of levels 1 to 5"
    )
    failed = False
    for env_id in arguments.env_ids:
        found = measure(env_id, arguments.tasks)
        levels = " ".join(f"{fact:.3g}" for fact in found.facts.values())
        print(
            f"{env_id:<27}{arguments.tasks / found.seconds:>9.0f}"
            f"{found.distinct / arguments.tasks:>10.4f}{len(found.refused):>9}"
            f"{len(found.unproven):>10}  {PROOFS[env_id][0]}: {levels}",
            flush=True,
        )
        for task_id in [*found.refused, *found.unproven][:3]:
            failed = True
            print(f"  {task_id}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
