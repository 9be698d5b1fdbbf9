"""`logic/Sudoku-v1`: 4x4, 6x6 and 9x9 grids with one solution each."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import cast

import numpy as np

from palestra.envs import Task
from palestra_logic.puzzle import PuzzleEnv

_LEVELS = {1: (2, 2, 9), 2: (2, 2, 5), 3: (2, 3, 12), 4: (3, 3, 38), 5: (3, 3, 27)}
"""Rows of a box, its columns, and how many givens stand at least."""

_ASK = {
    "en": "Fill in this {n}x{n} Sudoku: each row, each column and each box of {r} rows and {c} "
    "columns holds the digits 1 to {n} once; 0 is an empty cell.\n{grid}\n"
    "Answer with the {n} rows.",
    "zh": "填完这个{n}x{n}数独：每行、每列和每个{r}行{c}列的宫都恰好含有1到{n}；0是空格。\n{grid}\n"
    "请回答{n}行数字。",
}
_FORCED = {
    "en": "row {r}, column {c}: only {d} fits",
    "zh": "第{r}行第{c}列：只能填{d}",
}
_TRIED = {
    "en": "row {r}, column {c}: {d}, as every other digit leads to a contradiction",
    "zh": "第{r}行第{c}列：填{d}，别的数字都会矛盾",
}
_BETWEEN = re.compile(r"[\s,|;+-]")

Cells = tuple[int, ...]
"""The digits of a grid row by row, 0 for an empty cell."""


class SudokuEnv(PuzzleEnv):
    """A grid to be filled in: levels 1 and 2 are 4x4, 3 is 6x6, 4 and 5 are 9x9, of fewer givens.

    The solver shows that each has one solution.
    """

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        language = "en" if rng.random() < 0.5 else "zh"
        rows, columns, givens = _LEVELS[difficulty]
        n = rows * columns
        full = _filled(rng, rows, columns)
        cells = [0] * (n * n)
        for cell in rng.choice(n * n, givens, False):
            cells[cell] = full[cell]
        while True:  # a cell in which another solution differs becomes a given
            found = solutions(tuple(cells), rows, columns, avoid=full)
            if not found:
                break
            differing = [i for i in range(n * n) if found[0][i] != full[i]]
            chosen = int(rng.choice(differing))
            cells[chosen] = full[chosen]
        grid = _written(tuple(cells), n)
        return Task(
            prompt=_ASK[language].format(n=n, r=rows, c=columns, grid=grid),
            reference=_written(full, n),
            language=language,
            metadata={"rows": rows, "columns": columns, "cells": cells},
        )

    def fits(self, task: Task, answer: str) -> bool:
        cells, rows, columns = _puzzle(task)
        digits = _BETWEEN.sub("", answer)
        if len(digits) != len(cells) or not (digits.isascii() and digits.isdigit()):
            return False
        given = tuple(int(d) for d in digits)
        whole = set(range(1, rows * columns + 1))
        return all(c in (0, d) for c, d in zip(cells, given, strict=True)) and all(
            {given[i] for i in house} == whole for house in houses(rows, columns)
        )

    def reasons(self, task: Task) -> list[str]:
        cells, rows, columns = _puzzle(task)
        language, n = task.language or "en", rows * columns
        full = [int(d) for d in "".join(str(task.reference).split())]
        now, peers = list(cells), _peers(rows, columns)
        lines: list[str] = []
        while empty := [i for i in range(n * n) if not now[i]]:
            left = {i: n - len({now[j] for j in peers[i]} - {0}) for i in empty}
            cell = min(empty, key=lambda i: left[i])
            template = (_FORCED if left[cell] == 1 else _TRIED)[language]
            now[cell] = full[cell]
            lines.append(template.format(r=cell // n + 1, c=cell % n + 1, d=full[cell]))
        return lines

    def wrong_answers(self, task: Task) -> Iterable[str]:
        cells, rows, columns = _puzzle(task)
        n = rows * columns
        full = [int(d) for d in "".join(str(task.reference).split())]
        yield _written(cells, n)
        hole = cells.index(0)
        other = full.copy()
        other[hole] = full[hole] % n + 1
        yield _written(tuple(other), n)
        yield _written(tuple(d % n + 1 for d in full), n)  # a grid, but another one
        yield _written(tuple(full[:-n]), n)


@functools.cache
def houses(rows: int, columns: int) -> tuple[tuple[int, ...], ...]:
    """Return the rows, columns and boxes of a grid, as indices of cells."""
    n = rows * columns
    of = {
        "row": lambda r, c: r,
        "column": lambda r, c: c,
        "box": lambda r, c: (r // rows, c // columns),
    }
    found: dict[object, list[int]] = {}
    for cell in range(n * n):
        for name, key in of.items():
            found.setdefault((name, key(*divmod(cell, n))), []).append(cell)
    return tuple(tuple(house) for house in found.values())


@functools.cache
def _peers(rows: int, columns: int) -> tuple[tuple[int, ...], ...]:
    n = rows * columns
    return tuple(
        tuple({j for house in houses(rows, columns) if i in house for j in house} - {i})
        for i in range(n * n)
    )


def solutions(
    cells: Cells,
    rows: int,
    columns: int,
    *,
    limit: int = 1,
    avoid: Cells | None = None,
    order: tuple[int, ...] | None = None,
) -> list[Cells]:
    """Return up to `limit` solutions, by search on the cell with the fewest candidates.

    Args:
        cells: the grid.
        rows: rows of a box.
        columns: columns of a box.
        limit: how many to look for.
        avoid: a solution that does not count; where none else is found, it is the only one.
        order: digits in the order of trying; by default the highest first.
    """
    n = rows * columns
    peers = _peers(rows, columns)
    now = [0] * (n * n)
    masks = [(1 << n) - 1] * (n * n)
    found: list[Cells] = []

    def put(cell: int, digit: int) -> list[int] | None:
        """Place a digit; return the cells that lost a candidate, or None (undone) on a clash."""
        bit, changed, fine = 1 << digit - 1, list[int](), True
        now[cell] = digit
        for peer in peers[cell]:
            if not now[peer] and masks[peer] & bit:
                masks[peer] ^= bit
                changed.append(peer)
                fine = fine and masks[peer] != 0
        if fine:
            return changed
        undo(cell, digit, changed)
        return None

    def undo(cell: int, digit: int, changed: list[int]) -> None:
        now[cell] = 0
        for peer in changed:
            masks[peer] |= 1 << digit - 1

    def search() -> bool:
        """Search on; true where there are enough solutions."""
        best, fewest = -1, n + 1
        for cell, digit in enumerate(now):
            if not digit and (count := masks[cell].bit_count()) < fewest:
                best, fewest = cell, count
                if count == 1:
                    break
        if best < 0:
            grid = tuple(now)
            if grid != avoid:
                found.append(grid)
            return len(found) >= limit
        for digit in order or range(n, 0, -1):
            if masks[best] >> digit - 1 & 1:
                changed = put(best, digit)
                if changed is not None:
                    if search():
                        return True
                    undo(best, digit, changed)
        return False

    for cell, digit in enumerate(cells):
        if digit and (not masks[cell] >> digit - 1 & 1 or put(cell, digit) is None):
            return []
    search()
    return found


def _filled(rng: np.random.Generator, rows: int, columns: int) -> Cells:
    """Return a full grid: the first row and the first column of boxes are drawn, the rest found."""
    n = rows * columns
    while True:
        cells = [0] * (n * n)
        cells[:n] = [int(d) + 1 for d in rng.permutation(n)]
        order = tuple(int(d) + 1 for d in rng.permutation(n))
        column = [d for d in (int(x) + 1 for x in rng.permutation(n)) if d != cells[0]]
        for row, digit in enumerate(column, start=1):
            cells[row * n] = digit
        found = solutions(tuple(cells), rows, columns, order=order)
        if found:
            return found[0]


def _written(cells: Cells, n: int) -> str:
    return "\n".join("".join(map(str, cells[i : i + n])) for i in range(0, len(cells), n))


def _puzzle(task: Task) -> tuple[Cells, int, int]:
    meta = task.metadata
    cells = tuple(cast("list[int]", meta["cells"]))
    return cells, cast("int", meta["rows"]), cast("int", meta["columns"])
