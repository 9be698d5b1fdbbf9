"""`logic/KnightsAndKnaves-v1`: who always tells the truth, and who always lies?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np

from palestra.envs import Task
from palestra_logic.puzzle import PuzzleEnv, assignment

Statement = tuple[str, int, int]
"""A kind of statement, and the two people (or the person and a number) that it is about."""

_NAMES = {
    "en": "Ada Ben Cora Dan Eva Finn Gina Hugo Iris Jack Kim Leo Mia Ned Olga Paul",
    "zh": "小明 小红 小刚 小丽 小强 小芳 小军 小梅 小龙 小雪 小杰 小云 小虎 小兰 小波 小燕",
    "de": "Anna Bernd Clara Dirk Elke Franz Gerda Heinz Inge Jens Karin Lars Maja Nils",
}
_KINDS = {"en": ("knave", "knight"), "zh": ("骗子", "骑士"), "de": ("Lügner", "Ritter")}
_VALUES = {word.casefold(): i for words in _KINDS.values() for i, word in enumerate(words)}
_SAYS = {"en": '{a} says: "{s}"', "zh": "{a}说：“{s}”", "de": "{a} sagt: „{s}“"}
_ASK = {
    "en": "A knight always tells the truth, a knave always lies; each of {all} is one of the two. "
    "{says} Who is what? Answer as: {form}.",
    "zh": "骑士总说真话，骗子总说假话；{all}每人是其中之一。"
    "{says}每个人是什么？请这样回答：{form}。",
    "de": "Ein Ritter sagt immer die Wahrheit, ein Lügner lügt immer; {all} sind jeweils eines von "
    "beiden. {says} Wer ist was? Antworte so: {form}.",
}
_STATEMENTS = {
    "en": {
        "knight": "{x} is a knight.",
        "knave": "{x} is a knave.",
        "same": "{x} and {y} are of the same kind.",
        "differ": "{x} and {y} are of different kinds.",
        "and": "{x} and {y} are both knights.",
        "or": "At least one of {x} and {y} is a knave.",
        "if": "If {x} is a knight, then {y} is a knight.",
        "count": "Exactly {n} of us are knights.",
    },
    "zh": {
        "knight": "{x}是骑士。",
        "knave": "{x}是骗子。",
        "same": "{x}和{y}是同一种人。",
        "differ": "{x}和{y}不是同一种人。",
        "and": "{x}和{y}都是骑士。",
        "or": "{x}和{y}中至少有一个骗子。",
        "if": "如果{x}是骑士，那么{y}是骑士。",
        "count": "我们当中恰好有{n}个骑士。",
    },
    "de": {
        "knight": "{x} ist ein Ritter.",
        "knave": "{x} ist ein Lügner.",
        "same": "{x} und {y} sind von gleicher Art.",
        "differ": "{x} und {y} sind von verschiedener Art.",
        "and": "{x} und {y} sind beide Ritter.",
        "or": "Von {x} und {y} lügt mindestens einer.",
        "if": "Wenn {x} ein Ritter ist, dann ist {y} ein Ritter.",
        "count": "Genau {n} von uns sind Ritter.",
    },
}
_SPOKEN = {
    "en": ("{s} That is {v}, so {a} is a {k}.", ("false", "true")),
    "zh": ("{s}这是{v}，所以{a}是{k}。", ("假话", "真话")),
    "de": ("{s} Das ist {v}, also ist {a} ein {k}.", ("falsch", "wahr")),
}
_TRY = {"en": "Try {w}.", "zh": "试一试：{w}。", "de": "Probe: {w}."}
_FITS = {
    "en": "Every line agrees, and no other choice does.",
    "zh": "每一句都符合，别的情况都不行。",
    "de": "Alles passt, und keine andere Wahl passt.",
}


class KnightsAndKnavesEnv(PuzzleEnv):
    """People who always lie or never do, each of whom says one thing.

    Level n has n + 1 people. The truth table of all their worlds shows that one alone fits.
    """

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        language = ("en", "zh", "de")[int(rng.integers(3))]
        count = difficulty + 1
        people = [str(name) for name in rng.choice(_NAMES[language].split(), count, False)]
        while True:
            statements = [_statement(rng, speaker, count) for speaker in range(count)]
            fitting = worlds(statements)
            if len(fitting) == 1 and len(set(statements)) == count:
                break
        comma = "、" if language == "zh" else ", "
        says = ("" if language == "zh" else " ").join(
            _SAYS[language].format(a=people[i], s=_said(s, people, language))
            for i, s in enumerate(statements)
        )
        knave, knight = _KINDS[language]
        form = f"{people[0]}: {knight}/{knave}, {people[1]}: {knight}/{knave}" + (
            ", …" if count > 2 else ""
        )
        return Task(
            prompt=_ASK[language].format(all=comma.join(people), says=says, form=form),
            reference=_written(fitting[0], people, language),
            language=language,
            metadata={"people": people, "statements": [list(s) for s in statements]},
        )

    def fits(self, task: Task, answer: str) -> bool:
        people, statements = _puzzle(task)
        kinds = assignment(answer, people, _VALUES)
        return kinds is not None and _holds(statements, tuple(kinds[name] for name in people))

    def reasons(self, task: Task) -> list[str]:
        people, statements = _puzzle(task)
        language = task.language or "en"
        world = worlds(statements)[0]
        template, truth = _SPOKEN[language]
        return [
            _TRY[language].format(w=_written(world, people, language)),
            *(
                template.format(
                    s=_said(said, people, language),
                    v=truth[world[i]],
                    a=people[i],
                    k=_KINDS[language][world[i]],
                )
                for i, said in enumerate(statements)
            ),
            _FITS[language],
        ]

    def wrong_answers(self, task: Task) -> Iterable[str]:
        people, statements = _puzzle(task)
        language = task.language or "en"
        world = worlds(statements)[0]
        for i in range(len(people)):
            other = (*world[:i], 1 - world[i], *world[i + 1 :])
            yield _written(other, people, language)
        yield _written(world[:-1], people[:-1], language)
        knave, knight = _KINDS[language]
        yield ", ".join(f"{name}: {knight}/{knave}" for name in people)


def worlds(statements: list[Statement]) -> list[tuple[int, ...]]:
    """Return every assignment of kinds (1 for a knight) that the statements allow."""
    count = len(statements)
    table = (tuple(number >> i & 1 for i in range(count)) for number in range(1 << count))
    return [world for world in table if _holds(statements, world)]


def _holds(statements: list[Statement], world: tuple[int, ...]) -> bool:
    return all(_is_true(said, world) == bool(world[i]) for i, said in enumerate(statements))


def _is_true(statement: Statement, world: tuple[int, ...]) -> bool:
    kind, x, y = statement
    if kind == "count":
        return sum(world) == x
    a, b = world[x], world[y]
    return {
        "knight": a == 1,
        "knave": a == 0,
        "same": a == b,
        "differ": a != b,
        "and": a + b == 2,
        "or": a + b < 2,
        "if": a <= b,
    }[kind]


def _statement(rng: np.random.Generator, speaker: int, count: int) -> Statement:
    """Draw what a speaker says: never of the speaker's own kind alone, which nobody can."""
    kind = ("knight", "knave", "same", "differ", "and", "or", "if", "count")[int(rng.integers(8))]
    if kind == "count":
        return kind, int(rng.integers(count + 1)), 0
    others = [person for person in range(count) if person != speaker]
    if kind in ("knight", "knave"):
        return kind, int(rng.choice(others)), 0
    x, y = (int(person) for person in rng.choice(count, 2, False))
    return kind, x, y


def _said(statement: Statement, people: list[str], language: str) -> str:
    kind, x, y = statement
    template = _STATEMENTS[language][kind]
    if kind == "count":
        return template.format(n=x)
    return template.format(x=people[x], y=people[y])


def _written(world: tuple[int, ...], people: list[str], language: str) -> str:
    return ", ".join(
        f"{name}: {_KINDS[language][kind]}" for name, kind in zip(people, world, strict=True)
    )


def _puzzle(task: Task) -> tuple[list[str], list[Statement]]:
    people = cast("list[str]", task.metadata["people"])
    statements = cast("list[list[str | int]]", task.metadata["statements"])
    return people, [cast("Statement", tuple(said)) for said in statements]
