r"""`grade`: one completion against one reference, in bounded time, whatever the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from palestra.envs.score import Score, Status
from palestra.errors import ConfigError
from palestra_math import symbolic
from palestra_math.compare import same
from palestra_math.equal import open_work
from palestra_math.exact import NotRational, Undefined, rational
from palestra_math.expression import Number
from palestra_math.extract import DEFAULT_FORMS, Form, extract
from palestra_math.limits import Unreadable
from palestra_math.normalise import normalise
from palestra_math.structure import Quantity, Row, Text, Union, Value, read

_CHOICE = re.compile(r"\(?([A-Ja-j])\)?")
_CHOSEN = re.compile(
    r"(?:option|choice|选项?)?\s*(?:\(([A-Ja-j])\)|([A-Ja-j])(?![A-Za-z]))(?P<rest>.*)",
    re.DOTALL | re.IGNORECASE,
)
_MATHS = re.compile(r"\\[a-zA-Z]+")


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference, read once: `value` is None where only math-verify knows how to read it."""

    text: str
    value: Value | None
    choice: str | None = None


@lru_cache(maxsize=4096)
def read_reference(text: str) -> Reference:
    """Read a reference as `grade` does.

    Raises:
        Unreadable: no answer could ever equal it; the text says why.
    """
    choice = _CHOICE.fullmatch(normalise(text))
    if choice and choice[1].isupper():
        return Reference(text, Text(choice[1].casefold()), choice[1].upper())
    value = read(text)
    if isinstance(value, Quantity):
        try:
            rational(value.value)
        except Undefined as exc:
            raise Unreadable(f"the reference has no value: {exc}") from exc
        except NotRational:
            pass
    if isinstance(value, Text) and _MATHS.search(normalise(text)) and symbolic.available():
        return Reference(text, None)
    return Reference(text, value)


def grade(
    reference: str,
    completion: str,
    *,
    forms: Sequence[Form] = DEFAULT_FORMS,
    question: str | None = None,
) -> Score:
    r"""Grade a completion against the reference answer: 1.0 where they are the same, else 0.0.

    Thread-safe; never raises on a completion's account, and takes bounded time on any.

    Args:
        reference: the right answer, as LaTeX or as plain text: ``42``, ``\frac{1}{2}``, ``(1, 2]``.
        completion: the policy's whole turn; what stands in ``<think>`` is not read.
        forms: where an answer may stand; see `palestra_math.extract.extract`.
        question: the question. An answer that only copies an expression out of it earns nothing.

    Returns:
        The verdict. ``unparsable`` means that there was no answer, or none within the limits; it is
        a valid score of 0. ``timeout`` and ``error`` are not verdicts: math-verify, which is asked
        only about references that our reader does not know, was late, or its process died.

    Raises:
        ConfigError: the *reference* cannot be read.

    Example:
        >>> grade("1/2", r"So it is \boxed{\frac{2}{4}}.").value
        1.0
    """
    try:
        known = read_reference(reference)
    except Unreadable as exc:
        raise ConfigError(f"the reference {reference[:80]!r} cannot be graded: {exc}") from exc
    found = extract(completion, forms)
    if found.text is None:
        return _score(False, None, found.reason, Status.UNPARSABLE)
    shown = found.text[:200]
    try:
        right = _decide(known, found.text)
        if right and question is not None and _restates(known, found.text, question):
            return _score(False, shown, "the answer copies the question")
        return _score(right, shown)
    except (Unreadable, RecursionError) as exc:
        return _score(False, shown, str(exc), Status.UNPARSABLE)
    except symbolic.Late as exc:
        return Score.failed(str(exc), Status.TIMEOUT)
    except symbolic.Broken as exc:
        return Score.failed(str(exc))


def same_answer(reference: str, answer: str) -> bool:
    """Whether `answer`, which stands alone, is the same as `reference`."""
    try:
        return _decide(read_reference(reference), answer)
    except (Unreadable, RecursionError, symbolic.Late, symbolic.Broken):
        return False


def _score(
    right: bool, extracted: str | None, reason: str = "", status: Status = Status.OK
) -> Score:
    return Score(value=float(right), status=status, reason=reason, extracted=extracted)


def _decide(reference: Reference, answer: str) -> bool:
    if reference.choice is not None:
        return _chosen(answer) == reference.choice
    if reference.value is None:
        return _by_math_verify(reference.text, answer)
    value = read(answer)
    if same(reference.value, value):
        return True
    if (
        isinstance(reference.value, Row | Union)
        or isinstance(value, Row)
        or ("," in reference.text and "," in answer)
    ):
        # 3,14 is two numbers where the other side has two
        return same(read(reference.text, list_expected=True), read(answer, list_expected=True))
    return False


def _by_math_verify(reference: str, answer: str) -> bool:
    left, right = normalise(reference), normalise(answer)
    if " ".join(left.split()) == " ".join(right.split()):
        return True
    if len(right) > 300 or re.search(r"\^\s*\{?[^{}]*\^|!|\d{12}|\^\s*\{?\s*\d{3}", right):
        raise Unreadable("beyond what math-verify is asked about")
    return symbolic.verdict(left, right) == "same"


def _chosen(answer: str) -> str | None:
    """Return the letter of a multiple choice: ``B``, ``(B)``, ``B. 42``, ``Option B``."""
    match = _CHOSEN.fullmatch(normalise(answer))
    if match is None:
        return None
    rest = match["rest"].strip()
    if rest and (rest[0] not in ".:)" or re.search(r"\([A-J]\)|\b[B-J]\b|\b(?:or|and)\b", rest)):
        return None
    return (match[1] or match[2]).upper()


def _restates(reference: Reference, answer: str, question: str) -> bool:
    """Whether an answer with operations stands in the question, and the reference does not."""
    value = read(answer)
    if not isinstance(value, Quantity) or isinstance(value.value, Number):
        return False
    copied, asked = _squeezed(answer), _squeezed(question)
    if len(copied) < 4 or copied not in asked or _squeezed(reference.text) in asked:
        return False
    return bool(open_work(value.value)) or not re.fullmatch(r"[\d.,/\\{}fracd-]+", copied)


def _squeezed(text: str) -> str:
    return re.sub(r"\\left|\\right|\\[,;:! ]|[\s$]|\\cdot|\\times|\*", "", text)
