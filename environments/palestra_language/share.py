"""`target_language_share`: how much of a text is in the language that was asked for.

DeepSeek-R1 rewards the share of target-language words in the chain of thought. A word's script says
most: exactly, where a language owns its script. Where several share one, the words of a sentence
are judged together, by language identification.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from palestra.rewards.language import prose, scripts_of, words
from palestra_language.identify import is_in
from palestra_language.languages import SHARING, checked

MOST_SENTENCES = 2_000
"""Longer texts are judged in so many pieces: time stays bounded."""

_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？｡؟])|\s*[\n;；]+\s*")
# Each begins where a word does, and gives nothing back: a megabyte of digits is read once.
_IDENTIFIER = re.compile(
    r"(?<![\w.+-])(?:"
    r"[\w.+-]++@[\w.-]++|~?/[A-Za-z0-9._/-]++|"  # mail addresses, paths
    r"[A-Za-z0-9]*+_\w*+|[a-z]++[A-Z]\w*+|[A-Za-z]++\(\)|"  # names in programs
    r"[A-Za-z]++\d\w*+|\d++[A-Za-z]\w*+)",  # model numbers, quantities
    re.ASCII,
)
_RUN = re.compile(r"[^\W\d_]+(?:['’.\- ]+[^\W\d_]+)*")
_IDEOGRAM = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_LONGEST_NAME = 3
_SHORTEST_SENTENCE = 3
"""Words below which a sentence is judged together with the next: it says too little alone."""

_JAPANESE = 0.1
"""A sentence with this share of kana is Japanese, its Chinese characters included."""


@dataclass(slots=True)
class _Count:
    own: int = 0
    other: int = 0
    free: int = 0  # names and identifiers


def target_language_share(text: str, language: str) -> float:
    """Return the share of the words of `text` that are in `language`, 0 to 1.

    Code, LaTeX, links, numbers, acronyms, identifiers and names do not count; a text without a
    word has the share 0. Chinese characters and kana count as a word each, because nothing
    separates their words. As words could be dressed up as names or identifiers, those are free
    only as long as there are no more of them than of words; the others count as foreign.

    Args:
        text: any text, such as a chain of thought.
        language: ``en``, ``zh``, ``de``, ``zh-CN``, ...

    Raises:
        ConfigError: an unknown language, or one that shares its script while py3langid is not
            installed.

    Example:
        >>> target_language_share("先算 3+4=7，所以答案是 7。", "zh")
        1.0
    """
    code = checked(language)
    count = _Count()
    for sentence in _sentences(prose(text)):
        _add(count, sentence, code)
    words_ = count.own + count.other
    everything = words_ + max(0, count.free - words_)
    return count.own / everything if everything else 0.0


def _sentences(text: str) -> Iterator[str]:
    pieces: list[str] = []
    for piece in filter(None, _END.split(text)):
        if pieces and _is_short(pieces[-1]):
            pieces[-1] += f" {piece}"
        else:
            pieces.append(piece)
    size = -(-len(pieces) // MOST_SENTENCES) or 1
    for start in range(0, len(pieces), size):
        yield " ".join(pieces[start : start + size])


def _is_short(sentence: str) -> bool:
    few = len(sentence.split(maxsplit=_SHORTEST_SENTENCE)) < _SHORTEST_SENTENCE
    return few and _IDEOGRAM.search(sentence) is None


def _add(count: _Count, sentence: str, language: str) -> None:
    """Count the words of one sentence, script by script."""
    plain, identifiers = _IDENTIFIER.subn(" ", sentence)
    by_script: dict[str, int] = {}
    for script, _ in words(plain):
        by_script[script] = by_script.get(script, 0) + 1
    count.free += identifiers
    if by_script.get("latin") and len(by_script) > 1:
        plain, names = _without_names(plain)
        count.free += names
        by_script["latin"] = sum(script == "latin" for script, _ in words(plain))
    for script, number in by_script.items():
        if number and _is_own(script, plain, by_script, language):
            count.own += number
        else:
            count.other += number


def _without_names(sentence: str) -> tuple[str, int]:
    """Take names out of a sentence that is in another script: up to three words in capitals."""
    found = 0

    def name(match: re.Match[str]) -> str:
        nonlocal found
        latin = [word for script, word in words(match[0]) if script == "latin"]
        if 0 < len(latin) <= _LONGEST_NAME and all(word[0].isupper() for word in latin):
            found += len(latin)
            return " ".join(word for script, word in words(match[0]) if script != "latin")
        return match[0]

    return _RUN.sub(name, sentence), found


def _is_own(script: str, sentence: str, by_script: dict[str, int], language: str) -> bool:
    if script not in scripts_of(language):
        return False
    if script in ("han", "kana"):
        return _is_own_ideogram(script, sentence, by_script, language)
    if script not in SHARING:
        return True
    return is_in(" ".join(word for s, word in words(sentence) if s == script), language, script)


def _is_own_ideogram(script: str, sentence: str, by_script: dict[str, int], language: str) -> bool:
    """Kana makes a sentence Japanese; without any, Chinese characters may be either's."""
    kana, han = by_script.get("kana", 0), by_script.get("han", 0)
    if script == "kana":
        return language == "ja"
    if kana >= _JAPANESE * (kana + han):
        return language == "ja"
    if language == "zh":
        return True
    return is_in("".join(word for s, word in words(sentence) if s == "han"), language, "han")
