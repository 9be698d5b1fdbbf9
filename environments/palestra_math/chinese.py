"""Chinese numerals: 四十二, 一百零五, 三万五千, 三点一四, 三分之一, 百分之五十, 负七."""

from __future__ import annotations

import re
from fractions import Fraction

_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {
    "〇": 0,
    "两": 2,
    "兩": 2,
    **{c: i for i, c in enumerate("零壹贰叁肆伍陆柒捌玖")},
}
_SMALL = {"十": 10, "百": 100, "千": 1000, "拾": 10, "佰": 100, "仟": 1000}
_LARGE = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
ALPHABET = "".join((*_DIGITS, *_SMALL, *_LARGE))
NUMERAL = re.compile(f"[负負]?[{ALPHABET}]+(?:分之[{ALPHABET}]+|点[{''.join(_DIGITS)}]+)?")


def read(text: str) -> Fraction | None:
    """Return the value of a Chinese numeral, or None where `text` is not one that is well formed.

    Example:
        >>> read("三分之二")
        Fraction(2, 3)
    """
    if len(text) > 60 or not NUMERAL.fullmatch(text):
        return None
    sign = -1 if text[0] in "负負" else 1
    text = text.lstrip("负負")
    if "分之" in text:
        below, _, above = text.partition("分之")
        numerator, denominator = _integer(above), _integer("一百" if below == "百" else below)
        if numerator is None or not denominator:
            return None
        return sign * Fraction(numerator, denominator)
    whole, _, decimals = text.partition("点")
    value = _integer(whole)
    if value is None:
        return None
    digits = "".join(str(_DIGITS[c]) for c in decimals)
    return sign * (value + Fraction(int(digits or "0"), 10 ** len(digits)))


def _integer(text: str) -> int | None:
    """Read units in falling order (三万五千), or digits in a row (二〇二四)."""
    if all(c in _DIGITS for c in text):
        return int("".join(str(_DIGITS[c]) for c in text))
    total, section, digit = 0, 0, None
    last_small, last_large = 10**4, 10**12
    for char in text:
        if char in _DIGITS:
            if digit not in (None, 0):
                return None
            digit = _DIGITS[char]
        elif char in _SMALL:
            bare_ten = digit is None and char in "十拾" and section == 0  # 十二, 百 needs 一
            if _SMALL[char] >= last_small or (digit is None and not bare_ten):
                return None
            section += (1 if digit is None else digit) * _SMALL[char]
            last_small, digit = _SMALL[char], None
        else:
            section += digit or 0
            if section == 0 or _LARGE[char] >= last_large:
                return None
            total += section * _LARGE[char]
            section, digit, last_small, last_large = 0, None, 10**4, _LARGE[char]
    return total + section + (digit or 0)
