"""Kinds about what an answer says: its length, its words, its language, its case."""

from __future__ import annotations

import itertools
import re

import numpy as np

from palestra.rewards.language import language_share
from palestra_general.constraints.kind import (
    CASE,
    CONTENT,
    FRAME,
    Kind,
    Params,
    between,
    sentences,
    unchanged,
    words,
)
from palestra_general.constraints.vocabulary import AVOIDED, IN_LANGUAGE, KEYWORDS

FILLERS = ("We talk of it at home.", "It stays with us for years.", "You may see it too.")
"""Sentences that make a worked answer longer."""

_ENOUGH_OF_A_LANGUAGE = 0.7  # keywords that the task itself asks for are in English


def listed(names: list[str]) -> str:
    """Return ``'a', 'b' and 'c'``."""
    quoted = [f"'{name}'" for name in names]
    return " and ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))


def _some(count: int, from_: tuple[str, ...], rng: np.random.Generator) -> list[str]:
    return [str(word) for word in rng.choice(from_, count, replace=False)]


def _with_sentence(text: str, sentence: str) -> str:
    return f"{text} {sentence}".strip()


def _lengthened(params: Params, text: str) -> str:
    for filler in itertools.islice(itertools.cycle(FILLERS), 40):
        if len(words(text)) >= params["low"]:
            break
        text = _with_sentence(text, filler)
    return text


def _with_sentences(params: Params, text: str) -> str:
    found = sentences(text)
    while len(found) < params["n"]:
        found.append(FILLERS[len(found) % len(FILLERS)])
    return " ".join(found[len(found) - params["n"] :])  # the last ones hold the keywords


def _draw_range(rng: np.random.Generator) -> Params:
    low = int(rng.integers(30, 51))
    return {"low": low, "high": low + int(rng.integers(15, 31))}


def _avoids(params: Params, text: str) -> bool:
    return not {*params["words"]} & {*words(text)}


def _in_language(params: Params, text: str) -> bool:
    return (language_share(text, params["language"]) or 0.0) >= _ENOUGH_OF_A_LANGUAGE


def _translated(params: Params, text: str) -> str:
    needed = [word for word in words(text) if word in KEYWORDS]
    return f"{IN_LANGUAGE[params['language']][1]} ({' '.join(dict.fromkeys(needed))})."


def _capitalised(params: Params, text: str) -> str:
    parts = text.split(" ")
    found = 0
    for i, part in enumerate(parts):
        if found < params["n"] and len(part) > 2 and part.isalpha() and not part.isupper():
            parts[i], found = part.upper(), found + 1
    return " ".join(parts)


LENGTH = (
    Kind(
        name="words_at_most",
        group="limit",
        draw=between(60, 90),
        say=lambda p: f"Use at most {p['n']} words.",
        holds=lambda p, t: len(words(t)) <= p["n"],
        write=unchanged,
    ),
    Kind(
        name="words_between",
        group="length",
        draw=_draw_range,
        say=lambda p: f"Write between {p['low']} and {p['high']} words.",
        holds=lambda p, t: p["low"] <= len(words(t)) <= p["high"],
        write=_lengthened,
        phase=CONTENT,
    ),
    Kind(
        name="sentences_exactly",
        group="length",
        draw=between(3, 6),
        say=lambda p: f"Write exactly {p['n']} sentences.",
        holds=lambda p, t: len(sentences(t)) == p["n"],
        write=_with_sentences,
        phase=CONTENT,
    ),
    Kind(
        name="characters_at_most",
        group="characters",
        draw=between(320, 480),
        say=lambda p: f"Stay under {p['n']} characters, blanks included.",
        holds=lambda p, t: len(t) < p["n"],
        write=unchanged,
    ),
    Kind(
        name="short_sentences",
        group="sentence",
        draw=between(10, 13),
        say=lambda p: f"Let no sentence have more than {p['n']} words.",
        holds=lambda p, t: (
            bool(sentences(t)) and all(len(words(s)) <= p["n"] for s in re.split(r"[.!?\n]+", t))
        ),
        write=unchanged,
    ),
)
WORDS = (
    Kind(
        name="keywords",
        group="keywords",
        draw=lambda rng: {"words": _some(2, KEYWORDS, rng)},
        say=lambda p: f"Use the words {listed(p['words'])}.",
        holds=lambda p, t: {*p["words"]} <= {*words(t)},
        write=lambda p, t: _with_sentence(t, f"A {p['words'][0]} and a {p['words'][1]} belong."),
        phase=CONTENT,
    ),
    Kind(
        name="keyword_exactly",
        group="frequency",
        draw=lambda rng: (
            {"word": _some(1, ("perhaps", "today", "quietly"), rng)[0]} | between(2, 4)(rng)
        ),
        say=lambda p: f"Use the word '{p['word']}' exactly {p['n']} times.",
        holds=lambda p, t: words(t).count(p["word"]) == p["n"],
        write=lambda p, t: _with_sentence(t, f"It is {' and '.join([p['word']] * p['n'])} so."),
        phase=CONTENT,
    ),
    Kind(
        name="forbidden_words",
        group="forbidden",
        draw=lambda rng: {"words": _some(3, AVOIDED, rng)},
        say=lambda p: f"Do not use the words {listed(p['words'])}.",
        holds=_avoids,
        write=unchanged,
    ),
    Kind(
        name="forbidden_letter",
        group="letters",
        draw=lambda rng: {"letter": _some(1, ("j", "q", "x", "z"), rng)[0]},
        say=lambda p: f"Do not use the letter '{p['letter']}' anywhere.",
        holds=lambda p, t: p["letter"] not in t.casefold(),
        write=unchanged,
    ),
    Kind(
        name="short_words",
        group="letters",
        draw=between(9, 11),
        say=lambda p: f"Use no word of more than {p['n']} letters.",
        holds=lambda p, t: all(len(word) <= p["n"] for word in words(t)),
        write=unchanged,
    ),
    Kind(
        name="no_commas",
        group="punctuation",
        draw=lambda rng: {},
        say=lambda p: "Do not use any comma.",
        holds=lambda p, t: not {*",，،、"} & {*t},
        write=lambda p, t: t.replace(",", ""),
    ),
    Kind(
        name="no_digits",
        group="digits",
        draw=lambda rng: {},
        say=lambda p: "Do not use any digit.",
        holds=lambda p, t: not any(c.isdigit() for c in t),
        write=unchanged,
    ),
    Kind(
        name="exclamations",
        group="punctuation",
        draw=lambda rng: {},
        say=lambda p: "End every sentence with an exclamation mark.",
        holds=lambda p, t: (
            bool(sentences(t)) and all(s.endswith("!") for s in sentences(t)) and t[-1:] == "!"
        ),
        write=lambda p, t: t.replace(".", "!"),
        phase=FRAME,
    ),
    Kind(
        name="language",
        group="length",
        draw=lambda rng: {"language": _some(1, tuple(IN_LANGUAGE), rng)[0]},
        say=lambda p: (
            f"Write in {IN_LANGUAGE[p['language']][0]}; only words that this task gives may stay "
            "English."
        ),
        holds=_in_language,
        write=_translated,
        phase=CONTENT,
    ),
)
CASES = (
    Kind(
        name="lower_case",
        group="case",
        draw=lambda rng: {},
        say=lambda p: "Write in lower case alone, without any capital letter.",
        holds=lambda p, t: t == t.lower() and any(c.islower() for c in t),
        write=lambda p, t: t.lower(),
        phase=CASE,
    ),
    Kind(
        name="upper_case",
        group="case",
        draw=lambda rng: {},
        say=lambda p: "Write in capital letters alone.",
        holds=lambda p, t: t == t.upper() and any(c.isupper() for c in t),
        write=lambda p, t: t.upper(),
        phase=CASE,
    ),
    Kind(
        name="words_in_capitals",
        group="case",
        draw=between(2, 4),
        say=lambda p: f"Put at least {p['n']} words of two or more letters in capitals.",
        holds=lambda p, t: len(re.findall(r"\b[A-Z]{2,}\b", t)) >= p["n"],
        write=_capitalised,
        phase=CASE,
    ),
)
