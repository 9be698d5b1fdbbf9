"""`logic/Syllogism-v1`: does a sentence about kinds of things follow from others?"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable
from typing import cast

import numpy as np

from palestra.envs import Task
from palestra_logic.puzzle import PuzzleEnv

Sentence = tuple[str, int, int]
"""``all``, ``no``, ``some`` or ``some_not``, and the two kinds that it is about."""

FORMS = ("all", "no", "some", "some_not")
OPPOSITE = {"all": "some_not", "some_not": "all", "no": "some", "some": "no"}

_LEVELS = {1: (3, 2), 2: (4, 3), 3: (4, 4), 4: (5, 5), 5: (6, 6)}
"""Kinds of things, and premises."""

_WORDS = {
    "en": "blickets daxes feps gazzers kivs lorps mippets norks pelks rivvles toves wugs",
    "zh": "甲物 乙物 丙物 丁物 戊物 己物 庚物 辛物 壬物 癸物",
    "de": "Blicken Daxen Fepsen Gazzen Kiven Lorpen Mippen Norken Pelken Riven Toven",
}
_FORMS = {
    "en": {
        "all": "all {a} are {b}",
        "no": "no {a} are {b}",
        "some": "some {a} are {b}",
        "some_not": "some {a} are not {b}",
    },
    "zh": {
        "all": "所有{a}都是{b}",
        "no": "没有{a}是{b}",
        "some": "有些{a}是{b}",
        "some_not": "有些{a}不是{b}",
    },
    "de": {
        "all": "alle {a} sind {b}",
        "no": "keine {a} sind {b}",
        "some": "einige {a} sind {b}",
        "some_not": "einige {a} sind keine {b}",
    },
}
_ANSWERS = {
    "en": ("yes", "no", "unknown"),
    "zh": ("是", "否", "不确定"),
    "de": ("ja", "nein", "ungewiss"),
}
_VALUES = {word: i for words in _ANSWERS.values() for i, word in enumerate(words)}
_ASK = {
    "en": "{premises}. There may be none of a kind; some means at least one. Is it true that {c}? "
    "Answer yes, no or unknown.",
    "zh": "{premises}。某类可能一个也没有；有些指至少一个。{c}，对吗？请回答是、否或不确定。",
    "de": "{premises}. Von einer Art kann es auch keine geben; einige heißt mindestens eines. "
    "Stimmt es, dass gilt: {c}? Antworte mit ja, nein oder ungewiss.",
}
_DECIDE = {
    "en": ("these premises decide it: {p}", "they show that {c}"),
    "zh": ("起决定作用的前提：{p}", "由此可知{c}"),
    "de": ("diese Sätze entscheiden es: {p}", "sie zeigen: {c}"),
}
_OPEN = {
    "en": ("the premises leave room for: {c}", "and also for: {o}", "so nothing follows"),
    "zh": ("前提允许{c}", "也允许{o}", "所以不能确定"),
    "de": ("die Sätze erlauben: {c}", "und auch: {o}", "also folgt nichts"),
}


class SyllogismEnv(PuzzleEnv):
    """Premises about kinds with invented names; the question follows, is refuted, or is open.

    Level by level there are more kinds and premises. Each of the three answers is as frequent as
    the others, and is proven on all the regions of a Venn diagram.
    """

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        language = ("en", "zh", "de")[int(rng.integers(3))]
        kinds, count = _LEVELS[difficulty]
        target = int(rng.integers(3))
        while True:
            premises = [_sentence(rng, kinds) for _ in range(count)]
            asked = _sentence(rng, kinds)
            pairs = {frozenset(p[1:]) for p in premises}
            if len(pairs) < count or frozenset(asked[1:]) in pairs:
                continue
            if consistent(premises, kinds) and judge(premises, asked, kinds) == target:
                break
        names = [str(w) for w in rng.choice(_WORDS[language].split(), kinds, False)]
        joint = "；" if language == "zh" else "; "
        told = joint.join(_said(p, names, language) for p in premises)
        return Task(
            prompt=_ASK[language].format(
                premises=told[0].upper() + told[1:], c=_said(asked, names, language)
            ),
            reference=_ANSWERS[language][target],
            language=language,
            metadata={
                "names": names,
                "premises": [list(p) for p in premises],
                "asked": list(asked),
            },
        )

    def fits(self, task: Task, answer: str) -> bool:
        names, premises, asked = _puzzle(task)
        return _VALUES.get(answer.casefold()) == judge(premises, asked, len(names))

    def reasons(self, task: Task) -> list[str]:
        names, premises, asked = _puzzle(task)
        language = task.language or "en"
        opposite = (OPPOSITE[asked[0]], asked[1], asked[2])
        truth = judge(premises, asked, len(names))
        told, other = _said(asked, names, language), _said(opposite, names, language)
        if truth == 2:
            return [line.format(c=told, o=other) for line in _OPEN[language]]
        needed = premises.copy()
        for premise in premises:
            rest = [p for p in needed if p != premise]
            if judge(rest, asked, len(names)) == truth:
                needed = rest
        joint = "；" if language == "zh" else "; "
        text = joint.join(_said(p, names, language) for p in needed)
        return [line.format(p=text, c=(told, other)[truth]) for line in _DECIDE[language]]

    def wrong_answers(self, task: Task) -> Iterable[str]:
        words = _ANSWERS[task.language or "en"]
        yield from (word for word in words if word != task.reference)
        yield " / ".join(words)
        yield ", ".join(words)


def judge(premises: list[Sentence], asked: Sentence, kinds: int) -> int:
    """Return 0 where `asked` follows from the premises, 1 where its opposite does, else 2."""
    opposite = (OPPOSITE[asked[0]], asked[1], asked[2])
    if not consistent([*premises, opposite], kinds):
        return 0
    return 1 if not consistent([*premises, asked], kinds) else 2


def consistent(sentences: list[Sentence], kinds: int) -> bool:
    """Whether there is a world in which all sentences are true.

    A world says which regions of the Venn diagram are inhabited. Universal sentences empty
    regions; with all others inhabited, every "some" that can be true is, so one world is enough.
    """
    inhabited = (1 << (1 << kinds)) - 1
    for form, a, b in sentences:
        if form in ("all", "no"):
            inhabited &= ~_regions(a, b, form == "no", kinds)
    return all(
        inhabited & _regions(a, b, form == "some", kinds)
        for form, a, b in sentences
        if form in ("some", "some_not")
    )


@functools.cache
def _regions(a: int, b: int, inside: bool, kinds: int) -> int:
    """Return the regions in kind `a` that are in kind `b`, or are not, as a bit mask."""
    mask = 0
    for region in range(1 << kinds):
        if region >> a & 1 and bool(region >> b & 1) == inside:
            mask |= 1 << region
    return mask


_PAIRS = {kinds: list(itertools.permutations(range(kinds), 2)) for kinds in range(3, 7)}


def _sentence(rng: np.random.Generator, kinds: int) -> Sentence:
    a, b = _PAIRS[kinds][int(rng.integers(len(_PAIRS[kinds])))]
    return FORMS[int(rng.integers(4))], a, b


def _said(sentence: Sentence, names: list[str], language: str) -> str:
    form, a, b = sentence
    return _FORMS[language][form].format(a=names[a], b=names[b])


def _puzzle(task: Task) -> tuple[list[str], list[Sentence], Sentence]:
    premises = cast("list[list[str | int]]", task.metadata["premises"])
    asked = cast("list[str | int]", task.metadata["asked"])
    names = cast("list[str]", task.metadata["names"])
    return names, [cast("Sentence", tuple(p)) for p in premises], cast("Sentence", tuple(asked))
