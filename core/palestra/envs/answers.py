"""Reading the answer out of a completion: strictly inside the tags, or leniently anywhere."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

_ANSWER = re.compile(r"<answer>((?:(?!</?answer>).)*)</answer>", re.DOTALL)
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_TAGS = re.compile(r"</?(?:think|answer)>")
_DECIMAL = re.compile(r"[+-]?(?:\d{1,100}|\d{1,3}(?:,\d{3}){1,33})(?:\.\d{1,100})?", re.ASCII)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def strict_answer(completion: str) -> str | None:
    """Return what the last ``<answer>…</answer>`` holds, or None where there is none.

    An answer inside the chain of thought does not count: only text behind the last ``</think>``
    is read, so a policy cannot be paid for a guess that it then takes back.
    """
    found = _ANSWER.findall(completion.rpartition("</think>")[2])
    return found[-1].strip() if found else None


def last_number(text: str) -> str | None:
    """Return the last number that stands in `text`, without thousands separators."""
    found = _NUMBER.findall(_TAGS.sub(" ", text))
    return found[-1].replace(",", "") if found else None


def lenient_answer(completion: str) -> str | None:
    r"""Return the last answer anywhere: tags, ``\boxed{}``, else the last line with text."""
    strict = strict_answer(completion)
    if strict is not None:
        return strict
    boxed = _BOXED.findall(completion)
    if boxed:
        return boxed[-1].strip()
    lines = [line.strip() for line in _TAGS.sub("\n", completion).splitlines() if line.strip()]
    return lines[-1] if lines else None


def same_answer(answer: str | None, reference: object) -> bool:
    """Whether two answers are the same number, or the same text but for case and white space."""
    if answer is None:
        return False
    left, right = _number(answer), _number(str(reference))
    if left is not None and right is not None:
        return left == right
    return " ".join(answer.split()).casefold() == " ".join(str(reference).split()).casefold()


def _number(text: str) -> Decimal | None:
    """Read a plain decimal, with or without separators of thousands.

    Exponents are refused, because ``1e999999999`` is an attack; and so is ``1,2``, a list.
    """
    text = text.strip().rstrip(".")
    if not _DECIMAL.fullmatch(text):
        return None
    try:
        return Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None
