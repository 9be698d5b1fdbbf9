r"""Where the answer stands in a completion.

Only text behind the thoughts is read, and of the forms asked for the last one wins: a policy that
corrects itself is graded by its correction, and one that lists its guesses by the last of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from palestra_math.limits import MAX_ANSWER, TAIL

Form = Literal["tags", "boxed", "phrase", "hashes", "whole", "last_number"]
FORMS: tuple[Form, ...] = ("tags", "boxed", "phrase", "hashes", "whole", "last_number")
DEFAULT_FORMS: tuple[Form, ...] = ("tags", "boxed", "phrase", "hashes", "whole")

_TAGS = re.compile(r"<answer>((?:(?!</?answer>).)*)</answer>", re.DOTALL)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_PHRASE = re.compile(
    r"(?:\banswer\b(?:\s+to\s[^.\n]{1,80}?)?\s*(?:\*\*)?\s*(?:is|=|:|：|would be|equals)(?:\s*:)?"
    r"|答案\s*(?:是|为|：|:|=))\s*(?:\*\*)?\s*(?P<answer>[^\n]*)",
    re.IGNORECASE,
)
_HASHES = re.compile(r"####[ \t]*(?P<answer>[^\n]*)")
_NUMBER = re.compile(r"(?<![\w.,])[-+−]?[$€£¥]?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?")
_SENTENCE_END = re.compile(
    r"[.!?](?:\*\*)?(?:\s|$)|[。！？]|,?\s(?:because|since|as|which|so|hence)\s|\s*\(",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:or|maybe|perhaps|possibly|wait|actually|alternatively|either|unless|might|could|instead|"
    r"rather|not)\b|或|可能|也许|不对",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Found:
    """An answer, where it stands, and why there is none where `text` is None."""

    text: str | None
    start: int = 0
    reason: str = ""


def behind_thoughts(completion: str) -> str:
    """Return what follows the chain of thought; nothing where the thoughts never end."""
    return completion.rpartition("</think>")[2].partition("<think>")[0]


def extract(completion: str, forms: Sequence[Form] = DEFAULT_FORMS) -> Found:
    r"""Return the last answer that stands behind the thoughts in one of `forms`.

    Args:
        completion: the policy's whole turn.
        forms: ``tags`` (``<answer>``), ``boxed`` (``\boxed{}``), ``phrase`` ("the answer is"),
            ``hashes`` (``####``), ``whole`` (a single line that is nothing but the answer) and
            ``last_number`` (the last number anywhere). The last two are asked only where none of
            the others is found.
    """
    text = behind_thoughts(completion)[-TAIL:]
    found = [f for form in forms if form in _READERS and (f := _READERS[form](text)) is not None]
    if found:
        last = max(found, key=lambda f: f.start)
        return _unwrapped(last)
    if "whole" in forms and 0 < len(text.strip()) <= MAX_ANSWER and "\n" not in text.strip():
        return Found(text.strip())
    numbers = _NUMBER.findall(text) if "last_number" in forms else []
    if numbers:
        return Found(numbers[-1])
    return Found(None, reason="no answer behind the thoughts")


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    matches = list(pattern.finditer(text))
    return matches[-1] if matches else None


def _tags(text: str) -> Found | None:
    last = _last(_TAGS, text)
    return Found(last[1].strip(), last.start()) if last else None


def _boxed(text: str) -> Found | None:
    """Return the last outermost box; one pass over the braces, whatever is nested."""
    starts = {m.end() - 1: m.start() for m in _BOX.finditer(text)}
    if not starts:
        return None
    opened: list[int] = []
    last: tuple[int, int] | None = None
    outermost: int | None = None
    for match in re.finditer(r"\\[{}\\]|[{}]", text):
        if match[0] == "{":
            if match.start() in starts and outermost is None:
                outermost = len(opened)
            opened.append(match.start())
        elif match[0] == "}" and opened:
            start = opened.pop()
            if outermost is not None and len(opened) == outermost:
                last, outermost = (start, match.start()), None
    if outermost is not None:
        return Found(None, starts[opened[outermost]], r"\boxed{ is never closed")
    if last is None:
        return None
    return Found(text[last[0] + 1 : last[1]].strip(), starts[last[0]])


def _phrase(text: str) -> Found | None:
    last = _last(_PHRASE, text)
    if last is None:
        return None
    line = last["answer"].strip()
    math = re.match(r"(\$\$?|\\\(|\\\[).*?(\$\$?|\\\)|\\\])", line)
    end = _SENTENCE_END.search(line, math.end() if math else 1)
    answer = line[: end.start()] if end else line
    if _HEDGE.search(text[last.start("answer") + len(answer) :]):
        return Found(None, last.start(), "the answer is taken back")
    return Found(answer.strip(" *:"), last.start("answer"))


def _hashes(text: str) -> Found | None:
    last = _last(_HASHES, text)
    return Found(last["answer"].strip(), last.start()) if last else None


_READERS = {"tags": _tags, "boxed": _boxed, "phrase": _phrase, "hashes": _hashes}


def _unwrapped(found: Found) -> Found:
    r"""Take the answer out of a form within the form: ``<answer>\boxed{42}</answer>``."""
    for _ in range(4):
        text = (found.text or "").strip("$ ")
        inner = _boxed(text) if text.startswith("\\") else None
        if (
            inner is None
            or inner.text is None
            or not re.fullmatch(
                r"\\(?:boxed|fbox)\s*\{" + re.escape(inner.text) + r"\}",
                re.sub(r"\{\s+|\s+\}", _tight, text),
            )
        ):
            return found
        found = Found(inner.text, found.start)
    return found


def _tight(match: re.Match[str]) -> str:
    return match[0].strip()
