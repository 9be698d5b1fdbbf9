"""Language consistency: the share of the words of the thoughts that are in the asked language.

The language of a word is told by its script: exact for languages that own one (Chinese, Korean,
Russian, ...), and blind between two that share the Latin letters. `palestra_language` builds on the
same words, and tells languages of one script apart as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from palestra.envs import Score, Status
from palestra.rewards.base import Scored

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_KANA = "\u3040-\u30ff"
_SCRIPTS = {
    "latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
    "han": _HAN,
    "kana": _KANA,
    "hangul": "\uac00-\ud7af\u1100-\u11ff",
    "cyrillic": "\u0400-\u052f",
    "arabic": "\u0600-\u06ff\u0750-\u077f",
    "hebrew": "\u0590-\u05ff",
    "greek": "\u0370-\u03ff",
    "devanagari": "\u0900-\u097f",
    "thai": "\u0e00-\u0e7f",
}
_OF_LANGUAGE = {
    "zh": ("han",),
    "ja": ("han", "kana"),
    "ko": ("hangul",),
    "ru": ("cyrillic",),
    "uk": ("cyrillic",),
    "ar": ("arabic",),
    "fa": ("arabic",),
    "he": ("hebrew",),
    "el": ("greek",),
    "hi": ("devanagari",),
    "th": ("thai",),
}
# A Han or Kana character counts as a word: they are written without spaces.
_WORD = re.compile(
    "|".join(
        f"(?P<{name}>[{span}]{'' if name in ('han', 'kana') else '+'})"
        for name, span in _SCRIPTS.items()
    )
)
_NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$|"
    # An opener that is not closed before the next one is text: else hostile text takes for ever.
    r"\\\((?:(?!\\\().)*?\\\)|\\\[(?:(?!\\\[).)*?\\\]|"
    r"\\[A-Za-z]+|https?://\S+|</?(?:think|answer)>",
    re.DOTALL,
)
_LONGEST_ACRONYM = 7
_THOUGHTS = re.compile(r"<think>(.*?)(?:</think>|\Z)", re.DOTALL)
_ANSWER = re.compile(r"<answer>.*?(?:</answer>|\Z)", re.DOTALL)


def chain_of_thought(completion: str) -> str:
    """Return what stands in the think tags, or all but the answer where there are none."""
    found = _THOUGHTS.findall(completion)
    return "\n".join(found) if found else _ANSWER.sub(" ", completion)


def prose(text: str) -> str:
    """Return `text` with blanks for what is in no language: code, LaTeX, links and R1's tags."""
    return _NOT_PROSE.sub(" ", text)


def words(text: str) -> Iterator[tuple[str, str]]:
    """Yield the script and the letters of each word of `text`, which should be `prose`.

    Numbers are not words, nor are single Latin letters and short runs of capitals (variables,
    acronyms, and the like, which every language borrows).
    """
    for match in _WORD.finditer(text):
        script = match.lastgroup or ""
        if not (script == "latin" and _is_name(match[0])):
            yield script, match[0]


def scripts_of(language: str) -> tuple[str, ...]:
    """Return the scripts that `language` (``zh``, ``zh-CN``) is written in; Latin, if no other."""
    return _OF_LANGUAGE.get(language.split("-")[0].lower(), ("latin",))


def language_share(text: str, language: str) -> float | None:
    """Return the share of the words of `text` in `language`, or None where there is no word."""
    scripts = scripts_of(language)
    own = other = 0
    for script, _ in words(prose(text)):
        if script in scripts:
            own += 1
        else:
            other += 1
    return own / (own + other) if own + other else None


def _is_name(word: str) -> bool:
    return len(word) == 1 or (len(word) <= _LONGEST_ACRONYM and word.isupper())


class LanguageConsistencyReward:
    """The share of target-language words in the chain of thought (DeepSeek-R1, eq. 7).

    Thoughts without a single word earn 0: else silence would be the surest way to be consistent.
    An episode that asks for no language earns 1.
    """

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        """Return the share for each completion."""
        return [_score(item) for item in batch]


def _score(item: Scored) -> Score:
    if item.language is None:
        return Score(value=1.0, components={"language_consistency": 1.0})
    share = language_share(chain_of_thought(item.completion), item.language)
    return Score(
        value=share or 0.0,
        components={"language_consistency": share or 0.0},
        status=Status.OK if share is not None else Status.UNPARSABLE,
        reason="" if share is not None else "no word in the thoughts",
    )
