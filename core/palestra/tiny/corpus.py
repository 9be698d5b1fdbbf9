"""The synthetic bilingual corpus that the tiny base model is trained on.

Like a web crawl, it knows more than it shows: solutions are often wrong, often without the format,
in the wrong language or in two, and now and then they check themselves. Reinforcement learning has
something to find because the right way to work is in there, but seldom whole.

Only prompts of the training split are used, so no evaluation question occurs in the corpus.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from palestra.envs import Task, TextEnv
from palestra.seeding import rng as named_rng

_TAGGED = re.compile(r"<think>(.*)</think><answer>(.*)</answer>", re.DOTALL)
_WAIT = {"en": "wait, ", "zh": "等等，"}
_OTHER = {"en": "zh", "zh": "en"}
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One environment of the corpus.

    Attributes:
        env: where tasks and worked solutions come from.
        levels: the weight of each difficulty level, from the lowest.
        weight: its share of the documents, before normalisation.
    """

    env: TextEnv
    levels: tuple[float, ...]
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How far the corpus is from what RL will want (shares of the documents they apply to)."""

    bare: float = 0.33  # answers without any working
    bare_wrong: float = 0.75
    tagged: float = 0.35  # of the worked ones: the full format
    thoughts_only: float = 0.25  # of the worked ones: <think> tags, no <answer> tags
    corrupted: float = 0.75  # of the worked ones
    symbol_error: float = 0.08  # of the symbols of a corrupted solution
    wrong_language: float = 0.25
    mixed_language: float = 0.30
    check: float = 0.25  # of the corrupted lines: put right behind a "wait"


@dataclass(frozen=True, slots=True)
class Document:
    """A prompt with a continuation, and the hash of the prompt."""

    prompt: str
    completion: str
    prompt_hash: str


def documents(sources: Sequence[Source], seed: int, noise: Noise) -> Iterator[Document]:
    """Yield documents for ever: the same ones for the same seed."""
    rng = named_rng(seed, "tiny", "corpus")
    weights = np.array([s.weight for s in sources])
    while True:
        source = sources[int(rng.choice(len(sources), p=weights / weights.sum()))]
        levels = np.array(source.levels)
        level = int(rng.choice(len(levels), p=levels / levels.sum())) + source.env.difficulties[0]
        source.env.reset(
            seed=int(rng.integers(2**62)), options={"difficulty": level, "split": "train"}
        )
        task = source.env.task
        assert task is not None
        completion = _complete(source.env, task, rng, noise)
        if completion is not None:
            yield Document(task.messages[-1]["content"], completion, task.prompt_hash)


def _complete(env: TextEnv, task: Task, rng: np.random.Generator, noise: Noise) -> str | None:
    """Return a continuation, or None where the solution is not the same in both languages."""
    own = task.language or "en"
    lines, answer = _parts(env, task)
    if rng.random() < noise.bare:
        wrong = rng.random() < noise.bare_wrong
        return _corrupt(answer, rng, 0.5, at_least_one=True) if wrong else answer
    other_lines, _ = _parts(env, replace(task, language=_OTHER[own], metadata={**task.metadata}))
    if len(other_lines) != len(lines):
        return None
    draw = rng.random()
    if draw < noise.wrong_language:
        picked = [(_OTHER[own], line) for line in other_lines]
    elif draw < noise.wrong_language + noise.mixed_language:
        foreign = rng.random(len(lines)) < 0.5
        picked = [
            (_OTHER[own], b) if f else (own, a)
            for f, a, b in zip(foreign, lines, other_lines, strict=True)
        ]
    else:
        picked = [(own, line) for line in lines]
    rate = noise.symbol_error if rng.random() < noise.corrupted else 0.0
    written: list[str] = []
    for language, line in picked:
        damaged = _corrupt(line, rng, rate)
        written.append(damaged)
        if damaged != line and rng.random() < noise.check:
            written.append(_WAIT[language] + line)
    thoughts = "\n".join(written)
    concluded = _concluded(written[-1], answer)
    draw = rng.random()
    if draw < noise.tagged:
        return f"<think>{thoughts}</think><answer>{concluded}</answer>"
    if draw < noise.tagged + noise.thoughts_only:
        return f"<think>{thoughts}</think>{concluded}"
    return thoughts


def _parts(env: TextEnv, task: Task) -> tuple[list[str], str]:
    match = _TAGGED.fullmatch(env.reference_completion(task) or "")
    assert match is not None, f"{env.env_id} has no worked solution in the tags"
    return match[1].split("\n"), match[2]


def _concluded(last_line: str, answer: str) -> str:
    """Return what the last line concludes, right or wrong, where it ends like an answer."""
    tail = last_line[-len(answer) :]
    same_kind = [c.isdigit() for c in tail] == [c.isdigit() for c in answer]
    return tail if same_kind and (tail.lstrip("-").isdigit() or tail.isupper()) else answer


def _corrupt(text: str, rng: np.random.Generator, rate: float, at_least_one: bool = False) -> str:
    """Replace each digit and capital letter by another with probability `rate`."""
    characters = list(text)
    symbols = [i for i, c in enumerate(characters) if c.isdigit() or c in _LETTERS]
    hit = [i for i in symbols if rng.random() < rate]
    if at_least_one and not hit and symbols:
        hit = [symbols[int(rng.integers(len(symbols)))]]
    for i in hit:
        alphabet = "0123456789" if characters[i].isdigit() else _LETTERS
        characters[i] = str(rng.choice([c for c in alphabet if c != characters[i]]))
    if at_least_one and not symbols:  # words: drop or swap one
        words = text.split(" ")
        return " ".join(words[1:] if len(words) > 1 else words * 2)
    return "".join(characters)
