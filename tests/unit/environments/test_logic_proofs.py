"""The solvers behind the logic puzzles, against slower ones that share no code with them."""

from __future__ import annotations

import itertools
import re
from collections import deque
from typing import Any

import pytest
from tests.benchmarks.logic_generators import PROOFS, measure

from palestra.plugins.registry import get_registry
from palestra_logic import colouring, planning, sat, sudoku, syllogism


def tasks(env_id: str, level: int, count: int, language: str | None = None) -> list[Any]:
    env = get_registry().make_env(env_id)
    options: dict[str, object] = {"difficulty": level}
    options |= {"language": language} if language else {}
    drawn = []
    for seed in range(count):
        env.reset(seed=seed, options=options)
        drawn.append(env.task)
    return drawn


@pytest.mark.slow
@pytest.mark.parametrize("env_id", PROOFS)
def test_each_generator_keeps_its_promise(env_id: str):
    """10,000 of each are proven by tests/benchmarks/logic_generators.py."""
    found = measure(env_id, 500)
    assert not found.refused
    assert not found.unproven
    assert found.distinct >= 495


SAID = {
    r"(\w+) is a knight\.": lambda w, x: w[x],
    r"(\w+) is a knave\.": lambda w, x: not w[x],
    r"(\w+) and (\w+) are of the same kind\.": lambda w, x, y: w[x] == w[y],
    r"(\w+) and (\w+) are of different kinds\.": lambda w, x, y: w[x] != w[y],
    r"(\w+) and (\w+) are both knights\.": lambda w, x, y: w[x] and w[y],
    r"At least one of (\w+) and (\w+) is a knave\.": lambda w, x, y: not (w[x] and w[y]),
    r"If (\w+) is a knight, then (\w+) is a knight\.": lambda w, x, y: not w[x] or w[y],
    r"Exactly (\d) of us are knights\.": lambda w, n: sum(w.values()) == int(n),
}


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_one_world_fits_what_the_people_say_in_the_prompt(level: int):
    for task in tasks("logic/KnightsAndKnaves-v1", level, 15, "en"):
        said = re.findall(r'(\w+) says: "([^"]+)"', task.prompt)
        people = [name for name, _ in said]
        fitting = []
        for kinds in itertools.product([True, False], repeat=len(people)):
            world = dict(zip(people, kinds, strict=True))
            for name, text in said:
                hits = [(m, f) for p, f in SAID.items() if (m := re.fullmatch(p, text))]
                ((match, true),) = hits
                if bool(true(world, *match.groups())) != world[name]:
                    break
            else:
                fitting.append(world)
        (world,) = fitting
        words = {name: "knight" if k else "knave" for name, k in world.items()}
        assert task.reference == ", ".join(f"{n}: {words[n]}" for n in people)


@pytest.mark.parametrize("level", [1, 3, 5])
def test_python_agrees_on_the_expressions_in_the_prompt(level: int):
    for task in tasks("logic/Boolean-v1", level, 25, "en"):
        given, _, asked = task.prompt.partition(". Is ")
        values = {n: v == "true" for n, v in re.findall(r"(\w) is (true|false)", given)}
        text = asked.removesuffix(" true or false?")
        text = text.replace(" xor ", " != ").replace(" implies ", " <= ")
        assert str(bool(eval(text, {}, values))).lower() == task.reference


def exact_covers(cells: tuple[int, ...], rows: int, columns: int) -> list[tuple[int, ...]]:
    """All solutions, cell after cell, without candidates or order."""
    n = rows * columns
    found: list[tuple[int, ...]] = []

    def fill(grid: list[int]) -> None:
        if 0 not in grid:
            found.append(tuple(grid))
            return
        at = grid.index(0)
        r, c = divmod(at, n)
        for digit in range(1, n + 1):
            if not any(
                grid[i] == digit
                for i in range(n * n)
                if i // n == r
                or i % n == c
                or (i // n // rows == r // rows and i % n // columns == c // columns)
            ):
                grid[at] = digit
                fill(grid)
                grid[at] = 0

    fill(list(cells))
    return found


@pytest.mark.parametrize(("level", "count"), [(1, 15), (2, 15), (3, 4)])
def test_a_plain_search_finds_the_one_solution_of_each_sudoku(level: int, count: int):
    for task in tasks("logic/Sudoku-v1", level, count):
        meta = task.metadata
        (grid,) = exact_covers(tuple(meta["cells"]), meta["rows"], meta["columns"])
        assert "".join(map(str, grid)) == str(task.reference).replace("\n", "")


def test_the_sudoku_solver_counts_all_grids_of_four():
    empty = (0,) * 16
    assert len(sudoku.solutions(empty, 2, 2, limit=1_000)) == 288
    assert not sudoku.solutions((1, 1, *empty[2:]), 2, 2)


def places(clue: str, at: dict[str, int]) -> bool:
    """Whether a clue of a prompt is true."""
    for pattern, true in (
        (r"(\w+) is in house (\d)", lambda a, n: at[a] == int(n)),
        (r"(\w+) is not in house (\d)", lambda a, n: at[a] != int(n)),
        (r"(\w+) and (\w+) are in the same house", lambda a, b: at[a] == at[b]),
        (r"(\w+) and (\w+) are in different houses", lambda a, b: at[a] != at[b]),
        (r"(\w+) is in the house just left of (\w+)", lambda a, b: at[a] + 1 == at[b]),
        (r"(\w+) is somewhere left of (\w+)", lambda a, b: at[a] < at[b]),
        (r"(\w+) is next door to (\w+)", lambda a, b: abs(at[a] - at[b]) == 1),
    ):
        if match := re.fullmatch(pattern, clue):
            return true(*match.groups())
    raise AssertionError(clue)


@pytest.mark.parametrize(("level", "count"), [(1, 15), (2, 10), (3, 2)])
def test_one_table_fits_the_clues_in_the_prompt_and_each_clue_is_needed(level: int, count: int):
    for task in tasks("logic/Zebra-v1", level, count, "en"):
        clues = [c.partition(". ")[2] for c in re.findall(r"^\d+\. .*$", task.prompt, re.MULTILINE)]
        names, n = task.metadata["names"], task.metadata["houses"]
        kinds = [names[i : i + n] for i in range(0, len(names), n)]
        true = []
        for rows in itertools.product(itertools.permutations(range(1, n + 1)), repeat=len(kinds)):
            at = {
                t: p
                for kind, r in zip(kinds, rows, strict=True)
                for t, p in zip(kind, r, strict=True)
            }
            true.append((at, {c for c in clues if not places(c, at)}))
        (only,) = [at for at, broken in true if not broken]
        told = [(int(line[0]), set(line[3:].split(", "))) for line in task.reference.splitlines()]
        assert told == [(h, {t for t in names if only[t] == h}) for h in range(1, n + 1)]
        assert all(any(broken == {c} for _, broken in true) for c in clues)


def holds(sentence: tuple[str, int, int], members: list[frozenset[int]]) -> bool:
    form, a, b = sentence
    ours = [kinds for kinds in members if a in kinds]
    inside = [kinds for kinds in ours if b in kinds]
    return {
        "all": len(inside) == len(ours),
        "no": not inside,
        "some": bool(inside),
        "some_not": len(inside) < len(ours),
    }[form]


def test_syllogisms_agree_with_every_world_of_three_kinds():
    """All 256 choices of inhabited regions, for all pairs of premises and all questions."""
    regions = [frozenset(k for k in range(3) if r >> k & 1) for r in range(8)]
    worlds = [[r for i, r in enumerate(regions) if w >> i & 1] for w in range(256)]
    sentences = [(f, a, b) for f in syllogism.FORMS for a, b in itertools.permutations(range(3), 2)]
    table = {s: {w for w in range(256) if holds(s, worlds[w])} for s in sentences}
    for one, two in itertools.combinations(sentences, 2):
        models = table[one] & table[two]
        assert syllogism.consistent([one, two], 3) == bool(models)
        if not models:
            continue
        for asked in sentences:
            share = len(models & table[asked]) / len(models)
            expected = 0 if share == 1 else 1 if share == 0 else 2
            assert syllogism.judge([one, two], asked, 3) == expected


def test_the_truth_table_of_a_formula_agrees_with_counting():
    for task in tasks("logic/SAT-v1", 3, 10):
        clauses = [tuple(c) for c in task.metadata["clauses"]]
        n = len(task.metadata["names"])
        count = sum(
            all(any(world[abs(x) - 1] == (x > 0) for x in clause) for clause in clauses)
            for world in itertools.product([False, True], repeat=n)
        )
        assert sat.models(clauses, n).bit_count() == count > 0


def test_the_colouring_search_agrees_with_trying_all():
    for task in tasks("logic/GraphColouring-v1", 2, 10):
        edges, n = [tuple(e) for e in task.metadata["edges"]], len(task.metadata["names"])
        for colours in (2, 3):
            some = any(
                all(c[a] != c[b] for a, b in edges)
                for c in itertools.product(range(colours), repeat=n)
            )
            found = colouring.colouring(edges, n, colours)
            assert (found is not None) == some == (colours == 3)
            assert found is None or all(found[a] != found[b] for a, b in edges)


def test_breadth_first_search_finds_no_shorter_plan():
    for task in tasks("logic/Planning-v1", 3, 10):
        start, goal = tuple(task.metadata["start"]), tuple(task.metadata["goal"])
        depth, waiting = {start: 0}, deque([start])
        while goal not in depth:
            stacks = waiting.popleft()
            blocks = [s[-1] for s in stacks]
            for block, there in itertools.product(blocks, ["", *blocks]):
                after = planning.moved(stacks, (block, there))
                if after is not None and after not in depth:
                    depth[after] = depth[stacks] + 1
                    waiting.append(after)
        assert depth[goal] == len(task.metadata["plan"])


def test_answers_of_syllogisms_and_expressions_are_balanced():
    for env_id, share in (("logic/Boolean-v1", 1 / 2), ("logic/Syllogism-v1", 1 / 3)):
        places = {"false": 0, "假": 0, "true": 1, "真": 1}
        places |= {
            w: i for ws in (("yes", "是", "ja"), ("no", "否", "nein")) for w in ws for i in [ws[0]]
        }
        found = [places.get(t.reference, "unknown") for t in tasks(env_id, 2, 300)]
        for kind in set(found):
            assert abs(found.count(kind) / 300 - share) < 0.1
