"""A small made-up encyclopaedia: its articles, the facts in them, and how they are found."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from palestra_general import names

MACHINES = ("pump", "loom", "press", "engine", "lamp", "balance", "compass", "valve", "plough")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One machine, who invented it, where they were born, and what flows there."""

    machine: str
    inventor: str
    town: str
    river: str


def chains(rng: np.random.Generator, count: int) -> list[Chain]:
    """Draw chains of facts in which no name stands twice."""
    inventors = _distinct(rng, count, names.person)
    towns = _distinct(rng, count, names.place)
    rivers = _distinct(rng, count, names.river)
    makers = _distinct(rng, count, names.river)
    kinds = [str(kind) for kind in rng.choice(MACHINES, count)]
    return [
        Chain(machine=f"{m} {k}", inventor=i, town=t, river=r)
        for m, k, i, t, r in zip(makers, kinds, inventors, towns, rivers, strict=True)
    ]


def articles(rng: np.random.Generator, facts: Sequence[Chain]) -> dict[str, str]:
    """Return an article by title for each thing that the facts name."""
    written: dict[str, str] = {}
    for fact in facts:
        year, age = int(rng.integers(1700, 1900)), int(rng.integers(20, 60))
        people = int(rng.integers(2, 90)) * 1000
        written[fact.machine] = (
            f"The {fact.machine} is a machine of the {year // 100 + 1}th century. It was invented "
            f"by {fact.inventor} in {year}, and was soon in use in many workshops."
        )
        written[fact.inventor] = (
            f"{fact.inventor} was an inventor, born in {fact.town} in {year - age}. A street in "
            "the town keeps the memory."
        )
        written[fact.town] = (
            f"{fact.town} is a town of {people} people. It lies where the old road crosses the "
            f"river {fact.river}."
        )
        written[f"River {fact.river}"] = (
            f"The {fact.river} is a river of {int(rng.integers(40, 900))} kilometres. Several "
            "towns lie on it."
        )
    titles = sorted(written)
    return {titles[i]: written[titles[i]] for i in rng.permutation(len(titles))}


def best(query: str, documents: Mapping[str, str], count: int = 3) -> list[str]:
    """Return the titles that match a query best, by BM25 (Robertson and Zaragoza, 2009)."""
    texts = {title: _words(f"{title} {text}") for title, text in documents.items()}
    mean = sum(map(len, texts.values())) / max(1, len(texts))
    scores = dict.fromkeys(texts, 0.0)
    for word in set(_words(query)):
        holding = [title for title, found in texts.items() if word in found]
        rarity = math.log(1 + (len(texts) - len(holding) + 0.5) / (len(holding) + 0.5))
        for title in holding:
            times = texts[title].count(word)
            length = 0.25 + 0.75 * len(texts[title]) / mean
            scores[title] += rarity * times * 2.2 / (times + 1.2 * length)
    found = sorted((-score, title) for title, score in scores.items() if score)
    return [title for _, title in found[:count]]


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text[:2_000])]


def _distinct(
    rng: np.random.Generator, count: int, draw: Callable[[np.random.Generator], str]
) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[draw(rng)] = None
    return list(found)
