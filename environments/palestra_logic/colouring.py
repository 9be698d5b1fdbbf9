"""`logic/GraphColouring-v1`: colour a graph so that no two neighbours share a colour."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import cast

import numpy as np

from palestra.envs import Task
from palestra_logic.puzzle import PuzzleEnv, assignment

Edge = tuple[int, int]

_NODES = {1: 5, 2: 6, 3: 8, 4: 10, 5: 12}
_COLOURS = {"en": ("red", "green", "blue"), "zh": ("红", "绿", "蓝")}
_VALUES = {
    **{word: i for words in _COLOURS.values() for i, word in enumerate(words)},
    **{f"{word}色": i for i, word in enumerate(_COLOURS["zh"])},
}
_ASK = {
    "en": "Colour {nodes} with {colours}, so that no two that are joined have the same colour. "
    "Joined are {edges}. Answer as: {form}.",
    "zh": "用{colours}给{nodes}染色，相连的两点不能同色。相连的是：{edges}。请这样回答：{form}。",
}
_STEP = {
    "en": ("{a}: {c}", "{a}: {c}, as it is joined to {near}"),
    "zh": ("{a}：{c}", "{a}：{c}，因为它与{near}相连"),
}


class GraphColouringEnv(PuzzleEnv):
    """A graph that three colours can colour and two cannot; any proper colouring is right.

    Edges are drawn between the classes of a planted colouring, about 2.1 a node, which is near
    where colourings become rare.
    """

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        language = "en" if rng.random() < 0.5 else "zh"
        n = _NODES[difficulty]
        names = sorted(str(c) for c in rng.choice(list("ABCDEFGHJKLMNPQRSTUVWXYZ"), n, False))
        wanted = round(2.1 * n) - 2
        while True:
            planted = [int(c) for c in rng.integers(0, 3, n)]
            pairs = [
                p for p in itertools.combinations(range(n), 2) if planted[p[0]] != planted[p[1]]
            ]
            if len(pairs) < wanted:
                continue
            rng.shuffle(pairs)
            edges: list[Edge] = [(int(a), int(b)) for a, b in pairs[:wanted]]
            if len({v for e in edges for v in e}) == n and colouring(edges, n, 2) is None:
                break
        comma = "、" if language == "zh" else ", "
        colours = _COLOURS[language]
        return Task(
            prompt=_ASK[language].format(
                nodes=comma.join(names),
                colours=comma.join(colours),
                edges=comma.join(f"{names[a]}-{names[b]}" for a, b in edges),
                form=f"{names[0]}: {colours[0]}, {names[1]}: {colours[1]}, …",
            ),
            reference=_written(planted, names, language),
            language=language,
            metadata={"names": names, "edges": [list(e) for e in edges], "planted": planted},
        )

    def fits(self, task: Task, answer: str) -> bool:
        names, edges, _ = _puzzle(task)
        given = assignment(answer, names, _VALUES)
        return given is not None and all(given[names[a]] != given[names[b]] for a, b in edges)

    def reasons(self, task: Task) -> list[str]:
        names, edges, planted = _puzzle(task)
        language = task.language or "en"
        colours, (alone, joined) = _COLOURS[language], _STEP[language]
        comma = "、" if language == "zh" else ", "
        lines: list[str] = []
        for i, name in enumerate(names):
            near = [min(a, b) for a, b in edges if max(a, b) == i]
            told = comma.join(f"{names[j]} {colours[planted[j]]}" for j in sorted(near))
            template = joined if near else alone
            lines.append(template.format(a=name, c=colours[planted[i]], near=told))
        return lines

    def wrong_answers(self, task: Task) -> Iterable[str]:
        names, edges, planted = _puzzle(task)
        language = task.language or "en"
        a, b = edges[0]
        clash = planted.copy()
        clash[a] = planted[b]
        yield _written(clash, names, language)
        yield _written([0] * len(names), names, language)
        yield _written(planted[:-1], names[:-1], language)
        yield ", ".join(f"{name}: {'/'.join(_COLOURS[language])}" for name in names)


def colouring(edges: list[Edge], n: int, colours: int) -> list[int] | None:
    """Return a proper colouring, or None where the search finds that there is none."""
    near: list[list[int]] = [[] for _ in range(n)]
    for a, b in edges:
        near[a].append(b)
        near[b].append(a)
    now = [-1] * n

    def search() -> bool:
        free = [v for v in range(n) if now[v] < 0]
        if not free:
            return True
        taken = {v: {now[u] for u in near[v]} - {-1} for v in free}
        node = max(free, key=lambda v: (len(taken[v]), len(near[v])))
        # a colour that nobody has yet is as good as any other such
        for colour in range(min(colours, max(now) + 2)):
            if colour not in taken[node]:
                now[node] = colour
                if search():
                    return True
                now[node] = -1
        return False

    return now if search() else None


def _written(planted: list[int], names: list[str], language: str) -> str:
    words = _COLOURS[language]
    return ", ".join(f"{name}: {words[c]}" for name, c in zip(names, planted, strict=True))


def _puzzle(task: Task) -> tuple[list[str], list[Edge], list[int]]:
    edges = cast("list[Edge]", [tuple(e) for e in cast("list[list[int]]", task.metadata["edges"])])
    names = cast("list[str]", task.metadata["names"])
    return names, edges, cast("list[int]", task.metadata["planted"])
