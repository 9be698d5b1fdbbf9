"""`math/WordProblems-v1`: one-step word problems, from single digits to products."""

from __future__ import annotations

import numpy as np

from palestra.envs import Task
from palestra_math.answering import AnswerEnv

_PEOPLE = (
    *("Ada", "Ben", "Chloe", "Dan", "Eva", "Finn", "Grace", "Hugo", "Iris", "Jack"),
    *("Kim", "Leo", "Mia", "Noah", "Olga", "Paul", "Rosa", "Sam", "Tess", "Vera"),
)
_THINGS = (
    *("apples", "books", "buttons", "cards", "coins", "eggs", "marbles", "nuts", "pears"),
    *("pencils", "photos", "plums", "shells", "stamps", "stickers", "stones", "tickets"),
)
_HOLDERS = ("bags", "baskets", "bowls", "boxes", "crates", "jars", "packs", "rows", "trays")

_MORE = (
    "{name} has {a} {things} and gets {b} more. How many {things} does {name} have now?",
    "{name} has {a} {things}. {other} has {b} {things}. How many {things} do they have together?",
    "There are {a} {things} on a table and {b} {things} on a shelf. How many {things} are there?",
    "{name} found {a} {things} on Monday and {b} on Tuesday. How many {things} did {name} find?",
)
_LESS = (
    "{name} has {a} {things} and gives {b} to {other}. How many {things} does {name} have left?",
    "There were {a} {things}. {name} took {b} of them. How many {things} are left?",
    "{name} has {a} {things} and {other} has {b}. How many more {things} does {name} have?",
    "{name} needs {a} {things} and has {b}. How many more {things} does {name} need?",
)
_TIMES = (
    "{name} has {b} {holders} with {a} {things} each. How many {things} does {name} have?",
    "There are {a} {things} in each of {b} {holders}. How many {things} are there in all?",
    "{name} buys {a} {things} a day for {b} days. How many {things} does {name} buy?",
)
_SHARE = (
    "{name} puts {a} {things} into {b} {holders}, the same number in each. How many {things} are "
    "in each?",
    "{b} friends share {a} {things} equally. How many {things} does each get?",
)


class WordProblemsEnv(AnswerEnv):
    """Stories of one step each, in English; answers are whole numbers and never negative.

    Levels: 1 sums and differences of one digit; 2 of two digits and one; 3 of two digits and two;
    4 products of one digit, and quotients without a rest; 5 products of two digits and one.
    """

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        stories, a, b, value = _step(rng, difficulty)
        name, other = (_PEOPLE[int(i)] for i in rng.choice(len(_PEOPLE), size=2, replace=False))
        things, holders = (w[int(rng.integers(len(w)))] for w in (_THINGS, _HOLDERS))
        story = stories[int(rng.integers(len(stories)))]
        return Task(
            prompt=story.format(name=name, other=other, things=things, holders=holders, a=a, b=b),
            reference=str(value),
            language="en",
            metadata={"a": a, "b": b},
        )


def _step(rng: np.random.Generator, difficulty: int) -> tuple[tuple[str, ...], int, int, int]:
    """Draw the kind of story, its two numbers, and what it comes to."""
    if difficulty >= 4:
        a = int(rng.integers(*((2, 10) if difficulty == 4 else (11, 100))))
        b = int(rng.integers(2, 10))
        if difficulty == 4 and rng.random() < 0.5:
            return _SHARE, a * b, b, a
        return _TIMES, a, b, a * b
    low, high = (2, 10) if difficulty == 1 else (10, 100)
    a = int(rng.integers(low, high))
    b = int(rng.integers(10 if difficulty == 3 else 2, 100 if difficulty == 3 else 10))
    if rng.random() < 0.5:
        return _MORE, a, b, a + b
    a, b = max(a, b), min(a, b)
    return (_LESS, a, b, a - b) if a > b else (_MORE, a, b, a + b)
