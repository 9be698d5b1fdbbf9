"""`logic/Zebra-v1`: who lives where, and has what? One answer fits all the clues."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import cast

import numpy as np

from palestra.envs import Task
from palestra_logic.positions import Clue, holds, solutions
from palestra_logic.puzzle import PuzzleEnv

_LEVELS = {1: (3, 2), 2: (3, 3), 3: (4, 3), 4: (4, 4), 5: (5, 4)}
"""Houses, and things that are told apart in each."""

_THINGS = {
    "en": (
        "Alice Bob Carol David Emma Frank Grace Henry",
        "tea coffee milk water juice cocoa",
        "cat dog fish bird horse zebra",
        "red green blue white yellow black",
    ),
    "zh": (
        "小明 小红 小刚 小丽 小强 小芳 小军 小梅",
        "茶 咖啡 牛奶 水 果汁 可可",
        "猫 狗 鱼 鸟 马 斑马",
        "红色 绿色 蓝色 白色 黄色 黑色",
    ),
}
_KINDS = {"en": ("person", "drink", "animal", "colour"), "zh": ("人", "饮料", "动物", "颜色")}
_CLUES = {
    "en": {
        "at": "{a} is in house {n}",
        "not_at": "{a} is not in house {n}",
        "same": "{a} and {b} are in the same house",
        "apart": "{a} and {b} are in different houses",
        "left": "{a} is in the house just left of {b}",
        "before": "{a} is somewhere left of {b}",
        "next": "{a} is next door to {b}",
    },
    "zh": {
        "at": "{a}在{n}号房",
        "not_at": "{a}不在{n}号房",
        "same": "{a}和{b}在同一间房",
        "apart": "{a}和{b}不在同一间房",
        "left": "{a}紧挨在{b}的左边一间",
        "before": "{a}在{b}左边某间",
        "next": "{a}在{b}的隔壁",
    },
}
_ASK = {
    "en": "{n} houses stand in a row, 1 to {n} from left to right. In each there is one of each "
    "kind. {kinds}.\n{clues}\nWhat is in each house? Answer with a line for each house, as: "
    "1: {form}.",
    "zh": "一排{n}间房，从左到右编号1到{n}，每间房里每一类各有一个。{kinds}。\n{clues}\n"
    "每间房里有什么？请每间房写一行，例如：1: {form}。",
}
_HOUSE = re.compile(r"(?:house\s*)?(\d)(?:号房)?\s*[:.、)]?\s*(.*)", re.IGNORECASE)
_COMMA = re.compile(r"[,、]|\sand\s|和")
_SO = {"en": "{c}: house {n}, so that fits", "zh": "{c}：{n}号房，符合"}
_BOTH = {"en": "{c}: houses {n} and {m}, so that fits", "zh": "{c}：{n}号房和{m}号房，符合"}


class ZebraEnv(PuzzleEnv):
    """Houses in a row with a person, a drink, an animal and a colour in each, told by clues.

    The constraint solver shows that one table alone fits, and that no clue can be left out.
    """

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        language = "en" if rng.random() < 0.5 else "zh"
        n, kinds = _LEVELS[difficulty]
        chosen = sorted(int(k) for k in rng.permutation(4)[:kinds])
        things = [
            [str(t) for t in rng.choice(_THINGS[language][k].split(), n, False)] for k in chosen
        ]
        truth = [int(p) for _ in chosen for p in rng.permutation(n)]
        clues = _clues(rng, truth, n)
        names = [thing for kind in things for thing in kind]
        text = [f"{i}. {_said(clue, names, language)}" for i, clue in enumerate(clues, start=1)]
        comma, colon, semicolon = ("、", "：", "；") if language == "zh" else (", ", ": ", "; ")
        told = semicolon.join(
            f"{_KINDS[language][k]}{colon}{comma.join(sorted(kind))}"
            for k, kind in zip(chosen, things, strict=True)
        )
        form = ", ".join(_KINDS[language][k] for k in chosen)
        return Task(
            prompt=_ASK[language].format(n=n, kinds=told, clues="\n".join(text), form=form),
            reference=_written(truth, names, n),
            language=language,
            metadata={
                "houses": n,
                "names": names,
                "clues": [list(c) for c in clues],
                "truth": truth,
            },
        )

    def fits(self, task: Task, answer: str) -> bool:
        names, clues, _, n = _puzzle(task)
        places = _read(answer, names, n)
        return places is not None and all(holds(clue, places) for clue in clues)

    def reasons(self, task: Task) -> list[str]:
        names, clues, truth, _ = _puzzle(task)
        language = task.language or "en"
        lines: list[str] = []
        for clue in clues:
            kind, a, b = clue
            template = (_SO if kind in ("at", "not_at", "same") else _BOTH)[language]
            m = truth[b] + 1 if template == _BOTH[language] else 0
            lines.append(template.format(c=_said(clue, names, language), n=truth[a] + 1, m=m))
        return lines

    def wrong_answers(self, task: Task) -> Iterable[str]:
        names, _, truth, n = _puzzle(task)
        swapped = truth.copy()
        swapped[0], swapped[1] = truth[1], truth[0]
        yield _written(swapped, names, n)
        yield "\n".join(_written(truth, names, n).splitlines()[:-1])
        yield "\n".join(f"{house}: {', '.join(names)}" for house in range(1, n + 1))


def _clues(rng: np.random.Generator, truth: list[int], n: int) -> list[Clue]:
    """Draw clues until the truth alone fits, then leave out those that are not needed."""
    true = [clue for clue in _all_clues(len(truth), n) if holds(clue, truth)]
    frequency = Counter(kind for kind, _, _ in true)
    weight = np.array([_WEIGHTS[kind] / frequency[kind] for kind, _, _ in true])
    order = [true[int(i)] for i in rng.choice(len(true), len(true), False, weight / weight.sum())]
    chosen = order[: len(truth) // 2]
    while others := [s for s in solutions(chosen, len(truth), n, limit=2) if s != truth]:
        chosen.append(next(clue for clue in order if not holds(clue, others[0])))
    for clue in list(chosen):
        rest = [c for c in chosen if c != clue]
        if len(solutions(rest, len(truth), n, limit=2)) == 1:
            chosen = rest
    return [chosen[int(i)] for i in rng.permutation(len(chosen))]


_WEIGHTS = {"at": 1, "not_at": 1, "same": 3, "apart": 1, "left": 3, "before": 2, "next": 3}


def _all_clues(items: int, n: int) -> list[Clue]:
    clues: list[Clue] = [
        (k, a, p) for k in ("at", "not_at") for a in range(items) for p in range(n)
    ]
    for a in range(items):
        for b in range(items):
            if a == b:
                continue
            clues += [(kind, a, b) for kind in ("left", "before")]
            clues += [("next", a, b)] if a < b else []
            clues += [(kind, a, b) for kind in ("same", "apart") if a // n < b // n]
    return clues


def _said(clue: Clue, names: list[str], language: str) -> str:
    kind, a, b = clue
    template = _CLUES[language][kind]
    if kind in ("at", "not_at"):
        return template.format(a=names[a], n=b + 1)
    return template.format(a=names[a], b=names[b])


def _read(answer: str, names: list[str], n: int) -> list[int] | None:
    """Read a line (or a part between semicolons) for each house, and the things it names."""
    number = {name.casefold(): i for i, name in enumerate(names)}
    places = [-1] * len(names)
    lines = [line.strip(" .。") for line in re.split(r"[;\n]", answer) if line.strip(" .。")]
    if len(lines) != n:
        return None
    for line in lines:
        match = _HOUSE.fullmatch(line)
        if match is None or not 1 <= int(match[1]) <= n:
            return None
        for word in _COMMA.split(match[2]):
            item = number.get(word.strip().casefold(), -1)
            if item < 0 or places[item] >= 0:
                return None
            places[item] = int(match[1]) - 1
    rows = [sorted(places[i : i + n]) for i in range(0, len(names), n)]
    return places if all(row == list(range(n)) for row in rows) else None


def _written(places: list[int], names: list[str], n: int) -> str:
    return "\n".join(
        f"{house + 1}: " + ", ".join(names[i] for i, p in enumerate(places) if p == house)
        for house in range(n)
    )


def _puzzle(task: Task) -> tuple[list[str], list[Clue], list[int], int]:
    meta = task.metadata
    clues = [cast("Clue", tuple(c)) for c in cast("list[list[str | int]]", meta["clues"])]
    names, truth = cast("list[str]", meta["names"]), cast("list[int]", meta["truth"])
    return names, clues, truth, cast("int", meta["houses"])
