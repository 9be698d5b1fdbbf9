"""`Kind`: one kind of instruction that a rule can verify, and how texts are measured."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Params = dict[str, Any]

CONTENT, LAYOUT, FRAME, CASE = 1, 2, 3, 4
"""When a kind works on the worked answer: what it says, how it is laid out, what stands around it,
how it is spelt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of instruction.

    Attributes:
        name: what tables call it.
        group: kinds of one group do not meet in a task, as two that fix the case.
        draw: draws its parameters, plain data.
        say: words the instruction.
        holds: whether an answer follows it.
        write: brings an answer to follow it, for the worked answer.
        phase: when it writes.
    """

    name: str
    group: str
    draw: Callable[[np.random.Generator], Params]
    say: Callable[[Params], str]
    holds: Callable[[Params, str], bool]
    write: Callable[[Params, str], str]
    phase: int = LAYOUT


_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_STOP = re.compile(r"([.!?]+|\n)")
_ITEM = re.compile(r"^[ \t]*[-*•][ \t]+\S", re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*(\d{1,4})[.)][ \t]+\S", re.MULTILINE)


def words(text: str) -> list[str]:
    """Return the words of `text`, in lower case."""
    return [word.casefold() for word in _WORD.findall(text)]


def sentences(text: str) -> list[str]:
    """Return what ends with a full stop, an exclamation mark or a question mark."""
    parts = _STOP.split(text)
    pairs = zip(parts[::2], parts[1::2], strict=False)
    return [f"{said.strip()}{stop}" for said, stop in pairs if stop != "\n" and words(said)]


def paragraphs(text: str) -> list[str]:
    """Return what empty lines keep apart."""
    return [part for part in re.split(r"\n[ \t]*\n\s*", text.strip()) if part.strip()]


def bullets(text: str) -> int:
    """Return the number of bulleted lines."""
    return len(_ITEM.findall(text))


def numbers(text: str) -> list[int]:
    """Return the numbers of the lines that are numbered."""
    return [int(number) for number in _NUMBERED.findall(text)]


def between(low: int, high: int) -> Callable[[np.random.Generator], Params]:
    """Return a draw of one number, `n`."""
    return lambda rng: {"n": int(rng.integers(low, high + 1))}


def unchanged(params: Params, text: str) -> str:
    """Write nothing: the worked answers hold it already, and each is verified."""
    return text
