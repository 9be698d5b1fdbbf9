"""`logic/Planning-v1`: blocks world. Move one block at a time until the stacks are as asked."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from typing import cast

import numpy as np

from palestra.envs import Task
from palestra_logic.moves import MovesEnv
from palestra_logic.puzzle import answered

Stacks = tuple[str, ...]
"""Stacks of letters, each from the bottom to the top, in alphabetical order."""
Move = tuple[str, str]
"""A block, and the block that it is put on, or "" for the table."""

_LEVELS = {1: (3, 2), 2: (4, 3), 3: (4, 4), 4: (5, 5), 5: (6, 6)}
"""Blocks, and moves that are needed at least."""

_ASK = {
    "en": "Blocks stand in stacks, written from the bottom to the top: {start}. The goal: {goal}. "
    "A move puts a block with nothing on it on another such block, or on the table. Make at most "
    "{n} moves, in as many turns as you like. Answer with moves, as: A to B, C to table.",
    "zh": "积木叠成几堆，从下到上写：{start}。目标：{goal}。"
    "每步把一块上面没有东西的积木放到另一块这样的积木上，或放到桌上。最多{n}步，"
    "可以分几轮。请回答步骤，例如：A到B, C到桌。",
}
_MOVE = {"en": "{a} to {b}", "zh": "{a}到{b}"}
_TABLE = {"en": "table", "zh": "桌"}
_NOW = {"en": "The stacks are {s}.", "zh": "现在是{s}。"}
_THEN = {"en": "{m} gives {s}", "zh": "{m}，得到{s}"}
_READ = re.compile(
    r"(?:move\s+|put\s+|把)?([A-Z])\s*(?:->|→|\bto\b|\bonto\b|\bon\b|放到|放在|移到|到)\s*"
    r"(?:the\s+)?([A-Z]|table|桌)(?:子|面)?(?:上)?",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"[,;、\n]+|\sthen\s")


class PlanningEnv(MovesEnv[Stacks, Move]):
    """Three to six blocks; the shortest plan has two to six moves at least, found by A*.

    Two moves more than the shortest plan may be made.
    """

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        language = "en" if rng.random() < 0.5 else "zh"
        count, least = _LEVELS[difficulty]
        blocks = [str(c) for c in rng.choice(list("ABCDEFGHJKLMNPQRSTUVWXYZ"), count, False)]
        while True:
            start, goal = _stacked(rng, blocks), _stacked(rng, blocks)
            if _misplaced(start, goal) < least - 2:
                continue
            plan = shortest_plan(start, goal)
            if len(plan) >= least:
                break
        return Task(
            prompt=_ASK[language].format(
                start=_written(start), goal=_written(goal), n=len(plan) + 2
            ),
            reference=", ".join(_said(move, language) for move in plan),
            language=language,
            metadata={
                "start": list(start),
                "goal": list(goal),
                "plan": [list(move) for move in plan],
            },
        )

    def start(self, task: Task) -> Stacks:
        return tuple(cast("list[str]", task.metadata["start"]))

    def allowance(self, task: Task) -> int:
        return len(cast("list[list[str]]", task.metadata["plan"])) + 2

    def read(self, answer: str) -> list[Move] | None:
        moves: list[Move] = []
        for part in filter(None, (p.strip(" .。") for p in _BETWEEN.split(answer))):
            match = _READ.fullmatch(part)
            if match is None:
                return None
            there = match[2].upper() if len(match[2]) == 1 and match[2].isascii() else ""
            moves.append((match[1].upper(), there))
        return moves

    def after(self, task: Task, state: Stacks, move: Move) -> Stacks | None:
        return moved(state, move)

    def is_goal(self, task: Task, state: Stacks) -> bool:
        return list(state) == task.metadata["goal"]

    def shown(self, task: Task, state: Stacks) -> str:
        return _NOW[task.language or "en"].format(s=_written(state))

    def reasons(self, task: Task) -> list[str]:
        language, state = task.language or "en", self.start(task)
        lines: list[str] = []
        for block, there in cast("list[list[str]]", task.metadata["plan"]):
            following = moved(state, (block, there))
            assert following is not None
            state = following
            said = _said((block, there), language)
            lines.append(_THEN[language].format(m=said, s=_written(state)))
        return lines

    def probes(self, task: Task) -> Iterable[str]:
        yield from super().probes(task)
        plan = str(task.reference).split(", ")
        yield answered(", ".join(reversed(plan)))
        yield answered(_written(tuple(cast("list[str]", task.metadata["goal"]))))
        blocks = "".join(self.start(task))
        yield answered(", ".join(f"{a} to {b}" for a in blocks for b in blocks if a != b))
        yield answered(f"{blocks[0]} to {blocks[0]}")


def moved(stacks: Stacks, move: Move) -> Stacks | None:
    """Return the stacks after a move, or None where the move is not possible."""
    block, there = move
    source = next((s for s in stacks if s[-1] == block), None)
    target = next((s for s in stacks if s[-1] == there), "") if there else ""
    if (
        source is None
        or block == there
        or (there and not target)
        or (source == block and not there)
    ):
        return None
    rest = [s for s in stacks if s not in (source, target)]
    return tuple(sorted([*rest, target + block, *([source[:-1]] if len(source) > 1 else [])]))


def shortest_plan(start: Stacks, goal: Stacks) -> list[Move]:
    """Return a shortest plan, by A* with the blocks that are not where they belong as its bound."""
    best, seen = {start: 0}, set[Stacks]()
    waiting: list[tuple[int, int, Stacks, tuple[Move, ...]]] = [
        (_misplaced(start, goal), 0, start, ())
    ]
    while True:  # every arrangement can be reached: by the table
        _, cost, stacks, plan = heapq.heappop(waiting)
        if stacks == goal:
            return list(plan)
        if stacks in seen:
            continue
        seen.add(stacks)
        for move in _possible(stacks):
            there = moved(stacks, move)
            if there is not None and cost + 1 < best.get(there, cost + 2):
                best[there] = cost + 1
                bound = cost + 1 + _misplaced(there, goal)
                heapq.heappush(waiting, (bound, cost + 1, there, (*plan, move)))


def _possible(stacks: Stacks) -> Iterator[Move]:
    tops = [s[-1] for s in stacks]
    for block in tops:
        for there in ("", *tops):
            if there != block:
                yield block, there


def _misplaced(stacks: Stacks, goal: Stacks) -> int:
    """Return how many blocks must move: all above the part of a stack that is already right."""
    wanted = {s[: i + 1] for s in goal for i in range(len(s))}
    return sum(sum(s[: i + 1] not in wanted for i in range(len(s))) for s in stacks)


def _stacked(rng: np.random.Generator, blocks: list[str]) -> Stacks:
    """Draw an arrangement: shuffled blocks, each on the one before or on the table."""
    stacks: list[str] = []
    for i in rng.permutation(len(blocks)):
        if stacks and rng.random() < 0.65:
            stacks[-1] += blocks[int(i)]
        else:
            stacks.append(blocks[int(i)])
    return tuple(sorted(stacks))


def _said(move: Move, language: str) -> str:
    return _MOVE[language].format(a=move[0], b=move[1] or _TABLE[language])


def _written(stacks: Stacks) -> str:
    return " | ".join(stacks)
