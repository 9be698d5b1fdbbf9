r"""From text to tokens: numerals in every convention, names, LaTeX commands, marks.

A comma is part of a numeral only where it can be nothing else, or where the caller says that one
number is expected: ``1,234`` is one number at the top level and two inside brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from palestra_math.limits import MAX_DIGITS, Unreadable


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of an answer.

    Attributes:
        kind: ``number``, ``name``, ``command``, ``text`` or ``mark``.
        text: what was written.
        value: of a number.
        places: digits behind the decimal point, where it was written as a decimal.
        spaced: whether white space stood before it.
    """

    kind: str
    text: str
    value: Fraction = Fraction(0)
    places: int | None = None
    spaced: bool = False


_D = "[0-9]"
_GROUPED = "|".join(
    (
        rf"{_D}{{1,3}}(?:,{_D}{{3}})+(?!{_D})(?:\.{_D}+)?",  # 1,234,567.89
        rf"{_D}{{1,3}}(?:\.{_D}{{3}})+,{_D}+",  # 1.234,56
        rf"{_D}{{1,3}}(?:\.{_D}{{3}}){{2,}}(?![0-9.])",  # 1.234.567
        rf"{_D}{{1,2}}(?:,{_D}{{2}})+,{_D}{{3}}(?!{_D})(?:\.{_D}+)?",  # 12,34,567
        rf"{_D}+,{_D}+(?![0-9.,])",  # 3,14
    )
)
_SPACED = (
    rf"{_D}{{1,3}}(?:(?P<gap>[ \x1f'])(?:{_D}{{3}}))(?:(?P=gap){_D}{{3}})*(?!{_D})(?:\.{_D}+)?"
)
_PLAIN = rf"(?:{_D}+(?:\.{_D}*)?|\.{_D}+)"
_RECURRING = re.compile(
    rf"(?P<head>{_D}*\.{_D}*)(?:\\overline\s*\{{(?P<bar>{_D}+)\}}|\((?P<round>{_D}+)\)|"
    rf"\\dot\s*\{{?(?P<first>{_D})\}}?(?:(?P<middle>{_D}*)\\dot\s*\{{?(?P<last>{_D})\}}?)?)"
)
_EXPONENT = re.compile(rf"[eE](?P<power>[+-]?{_D}{{1,4}})(?![0-9a-zA-Z])")
_ONE = re.compile(rf"(?P<spaced>{_SPACED})|(?P<grouped>{_GROUPED})|{_PLAIN}")
_MANY = re.compile(rf"(?P<spaced>{_SPACED.replace(' ', '', 1)})|(?P<plain>{_PLAIN})")
_OTHER = re.compile(
    r"\\text\s*\{(?P<text>[^{}]*)\}|\\begin\s*\{(?P<begin>[a-z]+\*?)\}|\\end\s*\{(?P<end>[a-z]+\*?)\}"
    r"|\\mathbb\s*\{?(?P<field>[A-Z])\}?|(?P<command>\\(?:[a-zA-Z]+|[{}\\|%$&#]))"
    r"|(?P<name>[^\W\d_]+)|(?P<mark><=|>=|!=|\*\*|[^\s\w])|(?P<under>_)"
)
_CLOSERS = {"(": ")", "[": "]", "{": "}"}


def tokenize(text: str, *, list_expected: bool = False) -> list[Token]:
    """Return the tokens of a normalised answer.

    Args:
        text: what `palestra_math.normalise.normalise` gave.
        list_expected: read every comma as one that separates, as inside brackets.

    Raises:
        Unreadable: a character that no answer holds, or a numeral beyond the limits.
    """
    tokens: list[Token] = []
    position, depth, spaced = 0, 0, False
    while position < len(text):
        char = text[position]
        if char.isspace() or char == "\x1f":
            position, spaced = position + 1, True
            continue
        token, position = _token(text, position, list_expected or depth > 0, spaced)
        depth += (token.text in ("(", "[", "\\{")) - (token.text in (")", "]", "\\}"))
        tokens.append(token)
        spaced = False
    return tokens


def _token(text: str, position: int, separates: bool, spaced: bool) -> tuple[Token, int]:
    recurring = _RECURRING.match(text, position)
    if recurring:
        return _recurring(recurring, spaced), recurring.end()
    number = (_MANY if separates else _ONE).match(text, position)
    if number:
        return _number(text, number, spaced)
    other = _OTHER.match(text, position)
    if other is None:
        raise Unreadable(f"the answer holds {text[position]!r}")
    kind = other.lastgroup or "mark"
    if kind in ("text", "name", "begin", "end", "field", "command", "under"):
        return Token(kind, other[kind], spaced=spaced), other.end()
    return Token("mark", other[0], spaced=spaced), other.end()


def _number(text: str, match: re.Match[str], spaced: bool) -> tuple[Token, int]:
    written, end = match[0], match.end()
    groups = match.groupdict()
    plain = re.sub(r"[ '\x1f]", "", written)
    if groups.get("grouped"):
        plain = _one_convention(plain)
    if len(plain) > MAX_DIGITS:
        raise Unreadable(f"a numeral of more than {MAX_DIGITS} digits")
    whole, _, decimals = plain.partition(".")
    value = Fraction(int(whole + decimals or "0"), 10 ** len(decimals))
    places = len(decimals) if "." in plain else None
    exponent = _EXPONENT.match(text, end)
    if exponent:
        power = int(exponent["power"])
        if abs(power) > MAX_DIGITS:
            raise Unreadable(f"an exponent beyond {MAX_DIGITS}")
        value, end = value * Fraction(10) ** power, exponent.end()
        places = max((places or 0) - power, 0)
    return Token("number", written, value, places, spaced), end


def _one_convention(text: str) -> str:
    """Return ``1234.56`` for ``1,234.56`` and for ``1.234,56``; ``3,14`` is a decimal."""
    if re.fullmatch(r"\d{1,3}(\.\d{3})+(,\d+)?", text) and (text.count(".") > 1 or "," in text):
        return text.replace(".", "").replace(",", ".")
    thousands = re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+(\.\d+)?|[1-9]\d?(,\d{2})+,\d{3}(\.\d+)?", text)
    if thousands:
        return text.replace(",", "")
    if text.count(",") == 1 and "." not in text:
        return text.replace(",", ".")
    raise Unreadable("commas that neither group digits nor separate decimals")


def _recurring(match: re.Match[str], spaced: bool) -> Token:
    """Return 1/7 for ``0.\\overline{142857}``."""
    period = match["bar"] or match["round"] or match["first"] or ""
    if match["last"] is not None:
        period += match["middle"] + match["last"]
    head = match["head"]
    if len(head) + len(period) > MAX_DIGITS:
        raise Unreadable(f"a numeral of more than {MAX_DIGITS} digits")
    whole, _, decimals = head.partition(".")
    start = Fraction(int(whole + decimals or "0"), 10 ** len(decimals))
    tail = Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(decimals))
    return Token("number", match[0], start + tail, None, spaced)
