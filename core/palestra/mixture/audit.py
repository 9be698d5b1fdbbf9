"""The audit before training: what of the evaluation questions stands in the training prompts.

Two findings, told apart because they mean different things. An *identical* prompt (after
normalisation) is a test question that is trained on: a run refuses it. A shared *n-gram* may be a
paraphrase or a quotation, and may be the generator's own phrasing: it is measured and reported.
Sentences and n-grams that recur among the evaluation questions themselves are phrasing, and not
counted.

13 words is the size that GPT-3's decontamination used (arXiv 2005.14165, appendix C).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeVar

from palestra.splits import prompt_hash

T = TypeVar("T")

NGRAM = 13
_PHRASING = 0.02  # what stands in more than this share of the questions, and in two, is phrasing
_SENTENCE = re.compile(r"(?<=[.!?。！？\n])")
_WORD = re.compile(r"[^\W_]+", re.UNICODE)
# Scripts without spaces between words: each character counts as one.
_UNSPACED = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\u3040-\u30ff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What one evaluation set shares with the training prompts.

    Attributes:
        evaluation: the evaluation set.
        questions: how many questions it has.
        identical: how many of them are training prompts.
        shared: how many of them share an n-gram with a training prompt (identical ones too).
        example: one that is identical, or else one that shares; "" where none does.
    """

    evaluation: str
    questions: int
    identical: int
    shared: int
    example: str

    def as_dict(self) -> dict[str, object]:
        """Return it as ``results.json`` holds it."""
        return {
            "evaluation": self.evaluation,
            "questions": self.questions,
            "identical": self.identical,
            "shared": self.shared,
        }


def overlap(
    evaluation: str, questions: Sequence[str], training: Iterable[str], ngram: int = NGRAM
) -> Overlap:
    """Return what the `questions` of an evaluation set share with `training` prompts.

    Args:
        evaluation: how the set is called.
        questions: its prompts.
        training: the prompts that are trained on.
        ngram: words that an n-gram has; a shorter prompt can only be identical.
    """
    told = Fingerprint.of(questions, ngram)
    hashes = [prompt_hash(q) for q in questions]
    grams = [_ngrams(q, ngram, told.phrasing) for q in questions]
    seen_hashes: set[str] = set()
    seen_grams: set[tuple[str, ...]] = set()
    for prompt in training:
        seen_hashes.add(prompt_hash(prompt))
        seen_grams |= told.grams & _ngrams(prompt, ngram, told.phrasing)
    same = [h in seen_hashes for h in hashes]
    shares = [s or not own.isdisjoint(seen_grams) for s, own in zip(same, grams, strict=True)]
    found = same if any(same) else shares
    return Overlap(
        evaluation=evaluation,
        questions=len(questions),
        identical=sum(same),
        shared=sum(shares),
        example=next((q for q, hit in zip(questions, found, strict=True) if hit), ""),
    )


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What gives the questions of an evaluation away: their hashes, and their telling n-grams."""

    ngram: int
    hashes: frozenset[str]
    grams: frozenset[tuple[str, ...]]
    phrasing: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, questions: Sequence[str], ngram: int) -> Fingerprint:
        """Return that of `questions`; what recurs among them is phrasing, as in `overlap`."""
        limit = max(1, int(_PHRASING * len(questions)))
        phrasing = _recurring((_sentences(q) for q in questions), limit)
        grams = [_ngrams(q, ngram, phrasing) for q in questions]
        return cls(
            ngram=ngram,
            hashes=frozenset(map(prompt_hash, questions)),
            grams=frozenset({g for own in grams for g in own} - _recurring(grams, limit)),
            phrasing=frozenset(phrasing),
        )

    def touches(self, text: str) -> bool:
        """Whether `text` is one of the questions, or shares an n-gram with one."""
        if prompt_hash(text) in self.hashes:
            return True
        return not self.grams.isdisjoint(_ngrams(text, self.ngram, self.phrasing))


def _recurring(parts: Iterable[set[T]], limit: int) -> set[T]:
    """Return what stands in more than `limit` of the sets."""
    return {part for part, n in Counter(p for own in parts for p in own).items() if n > limit}


def _sentences(text: str) -> set[tuple[str, ...]]:
    return {tuple(normalised_words(part)) for part in _SENTENCE.split(text)}


def _ngrams(text: str, n: int, phrasing: AbstractSet[tuple[str, ...]]) -> set[tuple[str, ...]]:
    own = [words for part in _SENTENCE.split(text) if (words := normalised_words(part))]
    words = [word for sentence in own if tuple(sentence) not in phrasing for word in sentence]
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def normalised_words(text: str) -> list[str]:
    """Return the words of a text: NFKC, lower case, no punctuation; Chinese by the character.

    Example:
        >>> normalised_words("What is 2+2?")
        ['what', 'is', '2', '2']
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _WORD.findall(_UNSPACED.sub(lambda match: f" {match[0]} ", folded))
