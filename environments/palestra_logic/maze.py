"""`logic/Maze-v1`: find the way through a maze, in one turn or in several."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import cast

import numpy as np

from palestra.envs import Task
from palestra_logic.moves import MovesEnv
from palestra_logic.puzzle import answered

Cell = tuple[int, int]

_SIZES = {1: 5, 2: 6, 3: 8, 4: 10, 5: 12}
_STEPS: dict[str, Cell] = {"U": (-1, 0), "D": (1, 0), "L": (0, -1), "R": (0, 1)}
_WORDS = {
    **{letter.casefold(): letter for letter in _STEPS},
    **{"up": "U", "down": "D", "left": "L", "right": "R"},
    **{"上": "U", "下": "D", "左": "L", "右": "R"},
}
_NAMES = {
    "en": dict(zip("UDLR", "UDLR", strict=True)),
    "zh": dict(zip("UDLR", "上下左右", strict=True)),
}
_ASK = {
    "en": "Walk from S to G in this maze; # is a wall, . is free. Moves are U, D, L and R (up, "
    "down, left, right), {n} in all at most; you may make them in several turns.\n{map}\n"
    "Answer with moves, as: R, D.",
    "zh": "在迷宫里从S走到G；#是墙，.是路。走法是上、下、左、右，总共最多{n}步，"
    "可以分几轮走。\n{map}\n请回答走法，例如：右, 下。",
}
_AT = {"en": "You are in row {r}, column {c}.", "zh": "你在第{r}行第{c}列。"}
_FROM = {
    "en": ("from row {r}, column {c}", "{m} to row {r}, column {c}", "that is G"),
    "zh": ("从第{r}行第{c}列开始", "{m}到第{r}行第{c}列", "这就是终点"),
}
_BETWEEN = re.compile(r"[\s,;、>→-]+")
_TOKEN = re.compile(r"[UDLRudlr上下左右]+")


class MazeEnv(MovesEnv[Cell, str]):
    """A square of free cells and walls; the goal is as far from the start as any cell.

    Sizes are 5, 6, 8, 10 and 12. The shortest way is known, and half as many moves again (two at
    least) may be made.
    """

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        language = "en" if rng.random() < 0.5 else "zh"
        size = _SIZES[difficulty]
        while True:
            rows = [
                ["#" if wall else "." for wall in row] for row in rng.random((size, size)) < 0.35
            ]
            start = (int(rng.integers(size)), int(rng.integers(size)))
            rows[start[0]][start[1]] = "."
            ways = shortest_ways(["".join(row) for row in rows], start)
            longest = max(len(way) for way in ways.values())
            if longest >= size + 1:
                break
        far = sorted(cell for cell, way in ways.items() if len(way) == longest)
        goal = far[int(rng.integers(len(far)))]
        rows[start[0]][start[1]], rows[goal[0]][goal[1]] = "S", "G"
        maze = ["".join(row) for row in rows]
        allowance = longest + max(2, longest // 2)
        return Task(
            prompt=_ASK[language].format(n=allowance, map="\n".join(maze)),
            reference=", ".join(_NAMES[language][m] for m in ways[goal]),
            language=language,
            metadata={
                "maze": maze,
                "start": list(start),
                "goal": list(goal),
                "way": ways[goal],
                "allowance": allowance,
            },
        )

    def start(self, task: Task) -> Cell:
        row, column = cast("list[int]", task.metadata["start"])
        return row, column

    def allowance(self, task: Task) -> int:
        return cast("int", task.metadata["allowance"])

    def read(self, answer: str) -> list[str] | None:
        moves: list[str] = []
        for word in filter(None, _BETWEEN.split(answer.casefold())):
            if word in _WORDS:
                moves.append(_WORDS[word])
            elif _TOKEN.fullmatch(word):
                moves += [_WORDS[letter] for letter in word]
            else:
                return None
        return moves

    def after(self, task: Task, state: Cell, move: str) -> Cell | None:
        return step(cast("list[str]", task.metadata["maze"]), state, move)

    def is_goal(self, task: Task, state: Cell) -> bool:
        return list(state) == task.metadata["goal"]

    def shown(self, task: Task, state: Cell) -> str:
        return _AT[task.language or "en"].format(r=state[0] + 1, c=state[1] + 1)

    def reasons(self, task: Task) -> list[str]:
        language = task.language or "en"
        first, then, last = _FROM[language]
        cell = self.start(task)
        lines = [first.format(r=cell[0] + 1, c=cell[1] + 1)]
        for move in str(task.metadata["way"]):
            cell = (cell[0] + _STEPS[move][0], cell[1] + _STEPS[move][1])
            lines.append(then.format(m=_NAMES[language][move], r=cell[0] + 1, c=cell[1] + 1))
        return [*lines, last]

    def probes(self, task: Task) -> Iterable[str]:
        yield from super().probes(task)
        way = str(task.metadata["way"])
        for letter in _STEPS:
            yield answered(letter * len(way))
        yield answered("UDLR" * 40)
        yield answered(way[:-1] + "#")


def step(maze: list[str], cell: Cell, move: str) -> Cell | None:
    """Return the cell that a move leads to, or None where a wall or the edge is in the way."""
    row, column = cell[0] + _STEPS[move][0], cell[1] + _STEPS[move][1]
    if not (0 <= row < len(maze) and 0 <= column < len(maze)) or maze[row][column] == "#":
        return None
    return row, column


def shortest_ways(maze: list[str], start: Cell) -> dict[Cell, str]:
    """Return a shortest way, as letters, to each cell that can be reached (breadth first)."""
    ways, waiting = {start: ""}, deque([start])
    while waiting:
        cell = waiting.popleft()
        for letter in _STEPS:
            there = step(maze, cell, letter)
            if there is not None and there not in ways:
                ways[there] = ways[cell] + letter
                waiting.append(there)
    return ways
