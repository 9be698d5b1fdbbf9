"""Kinds about the form of an answer: lists, sections, JSON, how it begins and ends."""

from __future__ import annotations

import json
import re
from typing import cast

import numpy as np

from palestra_general.constraints.kind import (
    FRAME,
    LAYOUT,
    Kind,
    Params,
    between,
    bullets,
    numbers,
    paragraphs,
    sentences,
    words,
)
from palestra_general.constraints.vocabulary import CLOSINGS, ITEMS, KEYWORDS, OPENINGS

_DIVIDER = "******"


def _one(from_: tuple[str, ...], name: str, rng: np.random.Generator) -> Params:
    return {name: str(rng.choice(from_))}


def _in_paragraphs(params: Params, text: str) -> str:
    found, n = sentences(text), params["n"]
    size = max(1, len(found) // n)
    parts = [found[i * size : (i + 1) * size] for i in range(n - 1)] + [found[(n - 1) * size :]]
    return "\n\n".join(" ".join(part) for part in parts)


def _in_sections(params: Params, text: str) -> str:
    parts = paragraphs(_in_paragraphs(params, text))
    return "\n".join(f"Section {i}\n{part}" for i, part in enumerate(parts, start=1))


def _has_sections(params: Params, text: str) -> bool:
    found = re.findall(r"^Section (\d{1,4})$", text, re.MULTILINE | re.IGNORECASE)
    filled = re.split(r"^Section \d{1,4}$", text, flags=re.MULTILINE | re.IGNORECASE)[1:]
    wanted = [str(i) for i in range(1, params["n"] + 1)]
    return found == wanted and all(part.strip() for part in filled)


def _bulleted(params: Params, text: str) -> str:
    return "\n".join([text, *(f"- the {item}" for item in ITEMS[: params["n"]])])


def _numbered(params: Params, text: str) -> str:
    items = enumerate(ITEMS[: params["n"]], start=1)
    return "\n".join([text, *(f"{i}. the {item}" for i, item in items)])


def _keys(params: Params, text: str) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict):
        return False
    entries = cast("dict[str, object]", found)
    strings = all(isinstance(v, str) and v.strip() for v in entries.values())
    return strings and sorted(entries) == sorted(params["keys"])


def _as_json(params: Params, text: str) -> str:
    parts = sentences(text)
    values: dict[str, str] = dict(zip(params["keys"], parts, strict=False))
    values[params["keys"][-1]] = " ".join(parts[len(params["keys"]) - 1 :])
    return json.dumps(values, indent=1)


def _draw_keys(rng: np.random.Generator) -> Params:
    return {"keys": [str(key) for key in rng.choice(ITEMS, 3, replace=False)]}


def _acrostic(params: Params, text: str) -> str:
    lines = [f"{letter.upper()}ach line begins so" for letter in params["word"]]
    needed = [word for word in words(text) if word in KEYWORDS]
    return "\n".join([*lines[:-1], f"{lines[-1]} {' '.join(dict.fromkeys(needed))}"])


def _spells(params: Params, text: str) -> bool:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "".join(line[0] for line in lines).casefold() == params["word"]


def _two_answers(params: Params, text: str) -> bool:
    parts = [part.strip() for part in text.split(_DIVIDER)]
    return len(parts) == 2 and all(words(part) for part in parts) and parts[0] != parts[1]


def _highlighted(params: Params, text: str) -> str:
    parts = text.split(" ")
    return " ".join([*(f"*{part}*" for part in parts[: params["n"]]), *parts[params["n"] :]])


def _has_title(params: Params, text: str) -> bool:
    return re.match(r"<<[^<>\n]*\w[^<>\n]*>>\s*\n\s*\S", text) is not None


BLOCKS = (
    Kind(
        name="paragraphs_exactly",
        group="layout",
        draw=between(2, 3),
        say=lambda p: f"Write exactly {p['n']} paragraphs, with an empty line between them.",
        holds=lambda p, t: len(paragraphs(t)) == p["n"],
        write=_in_paragraphs,
    ),
    Kind(
        name="sections_exactly",
        group="layout",
        draw=between(2, 3),
        say=lambda p: (
            f"Write {p['n']} sections. Head each with a line of its own: Section 1, Section 2, ..."
        ),
        holds=_has_sections,
        write=_in_sections,
    ),
    Kind(
        name="bullets_exactly",
        group="layout",
        draw=between(2, 5),
        say=lambda p: f"Include exactly {p['n']} bullet points, lines that begin with '- '.",
        holds=lambda p, t: bullets(t) == p["n"],
        write=_bulleted,
    ),
    Kind(
        name="numbered_list",
        group="layout",
        draw=between(2, 5),
        say=lambda p: f"Include a list numbered from 1. to {p['n']}., a line each.",
        holds=lambda p, t: numbers(t) == [*range(1, p["n"] + 1)],
        write=_numbered,
    ),
    Kind(
        name="json_object",
        group="layout",
        draw=_draw_keys,
        say=lambda p: (
            f"Let the answer be one JSON object with the keys {', '.join(p['keys'])}, "
            "whose values are strings, and nothing else."
        ),
        holds=_keys,
        write=_as_json,
        phase=FRAME + 2,
    ),
    Kind(
        name="acrostic",
        group="layout",
        draw=lambda rng: _one(("each", "team", "name", "late", "read"), "word", rng),
        say=lambda p: f"Let the first letters of the lines spell '{p['word']}'.",
        holds=_spells,
        write=_acrostic,
    ),
    Kind(
        name="two_answers",
        group="layout",
        draw=lambda rng: {},
        say=lambda p: f"Give two different answers, with {_DIVIDER} between them.",
        holds=_two_answers,
        write=lambda p, t: f"{t}\n{_DIVIDER}\nThere is another way to say it.",
    ),
)
MARKS = (
    Kind(
        name="title",
        group="start",
        draw=lambda rng: {},
        say=lambda p: "Begin with a title of its own line, in double angle brackets: <<title>>.",
        holds=_has_title,
        write=lambda p, t: f"<<A short note>>\n{t}",
        phase=FRAME,
    ),
    Kind(
        name="starts_with",
        group="start",
        draw=lambda rng: _one(OPENINGS, "phrase", rng),
        say=lambda p: f"Begin with the words '{p['phrase']}'.",
        holds=lambda p, t: t.casefold().startswith(p["phrase"].casefold()),
        write=lambda p, t: f"{p['phrase']} {t}",
        phase=LAYOUT,
    ),
    Kind(
        name="ends_with",
        group="end",
        draw=lambda rng: _one(CLOSINGS, "phrase", rng),
        say=lambda p: f"End with the sentence '{p['phrase']}', and write nothing after it.",
        holds=lambda p, t: t.casefold().endswith(p["phrase"].casefold()),
        write=lambda p, t: f"{t} {p['phrase']}",
        phase=FRAME,
    ),
    Kind(
        name="postscript",
        group="end",
        draw=lambda rng: {},
        say=lambda p: "Close with a postscript, on a line that begins with P.S.",
        holds=lambda p, t: re.search(r"^P\.S\.[ \t]*\S", t, re.M | re.I) is not None,
        write=lambda p, t: f"{t}\nP.S. Come back soon.",
        phase=FRAME,
    ),
    Kind(
        name="highlights",
        group="marks",
        draw=between(1, 3),
        say=lambda p: f"Highlight at least {p['n']} words or phrases with asterisks, *like this*.",
        holds=lambda p, t: len(re.findall(r"\*[^\s*][^*\n]*\*", t)) >= p["n"],
        write=_highlighted,
        phase=FRAME,
    ),
    Kind(
        name="placeholders",
        group="marks",
        draw=between(1, 3),
        say=lambda p: f"Leave at least {p['n']} placeholders in square brackets, such as [name].",
        holds=lambda p, t: len(re.findall(r"\[[^\[\]\n]+\]", t)) >= p["n"],
        write=lambda p, t: f"{t} Ask {' or '.join(['[name]', '[place]', '[date]'][: p['n']])}.",
        phase=FRAME,
    ),
    Kind(
        name="quoted",
        group="wrap",
        draw=lambda rng: {},
        say=lambda p: "Put the whole answer in double quotation marks.",
        holds=lambda p, t: len(t) > 2 and t[0] in '"“' and t[-1] in '"”' and t.count('"') <= 2,
        write=lambda p, t: f'"{t}"',
        phase=FRAME + 1,
    ),
)
