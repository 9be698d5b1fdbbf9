"""Units and what is counted: 42 km is 42,000 m and not 42 m, and 42 apples are not 42 pears.

The policy: where one side says no unit, the other's is taken on trust (references often leave it
out); where both do, they must be of one kind and are converted. 45 degrees are pi/4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from palestra_math import chinese


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: what it measures, how many basic units it is, or the noun that is counted."""

    dimension: str
    factor: Fraction = Fraction(1)


_F = Fraction
_TABLE: dict[str, dict[str, Fraction]] = {
    "length": {
        "km kilometer kilometre 千米 公里": _F(1000),
        "m meter metre 米": _F(1),
        "dm decimeter decimetre 分米": _F(1, 10),
        "cm centimeter centimetre 厘米": _F(1, 100),
        "mm millimeter millimetre 毫米": _F(1, 1000),
        "ft foot feet": _F(3048, 10000),
        "in inch inche": _F(254, 10000),
        "yd yard": _F(9144, 10000),
        "mi mile": _F(1609344, 1000),
    },
    "mass": {
        "t ton tonne 吨": _F(1_000_000),
        "kg kilogram kilo 千克 公斤": _F(1000),
        "g gram 克": _F(1),
        "mg milligram": _F(1, 1000),
        "lb pound": _F(45359237, 100000),
        "oz ounce": _F(45359237, 1600000),
    },
    "time": {
        "s sec second 秒": _F(1),
        "min minute 分钟": _F(60),
        "h hr hour 小时": _F(3600),
        "day 天": _F(86400),
        "week 周": _F(604800),
    },
    "months": {"month 个月": _F(1), "yr year 年 岁": _F(12)},
    "volume": {
        "L l liter litre 升": _F(1),
        "ml mL milliliter millilitre 毫升": _F(1, 1000),
    },
    "length/time": {"mph": _F(1397, 3125), "kmh kph": _F(5, 18)},
    "dollar": {"$ dollar usd buck": _F(1), "cent ¢": _F(1, 100)},
    "yuan": {"¥ yuan rmb 元 块 人民币": _F(1), "角": _F(1, 10)},
    "euro": {"€ euro eur": _F(1)},
    "pound sterling": {"£ gbp": _F(1)},
    "degree": {"degree deg ° 度": _F(1)},
    "radian": {"rad radian": _F(1)},
    "celsius": {"°C celsius": _F(1)},
    "fahrenheit": {"°F fahrenheit": _F(1)},
}
_UNITS = {
    word: Unit(dimension, factor)
    for dimension, rows in _TABLE.items()
    for words, factor in rows.items()
    for word in words.split()
}
SINGLE = frozenset(w for w in _UNITS if len(w) == 1 and w.isascii() and w.isalpha())
CURRENCY = {"$": "$", "\\$": "$", "€": "€", "£": "£", "¥": "¥"}
SCALES = {
    "hundred": 100,
    "thousand": 1000,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "dozen": 12,
    "万": 10**4,
    "亿": 10**8,
}
_NOT_NOUNS = frozenset(
    [
        "and",
        "or",
        "not",
        "no",
        "nor",
        "maybe",
        "perhaps",
        "possibly",
        "probably",
        "wrong",
        "incorrect",
        "false",
        "correct",
        "right",
        "true",
        "yes",
        "is",
        "are",
        "was",
        "be",
        "if",
        "so",
        "but",
        "then",
        "else",
        "than",
        "to",
        "from",
        "plus",
        "minus",
        "times",
        "divided",
        "over",
        "equals",
        "equal",
        "less",
        "more",
        "fewer",
        "greater",
        "about",
        "around",
        "approximately",
        "roughly",
        "almost",
        "nearly",
        "between",
        "either",
        "neither",
        "both",
        "half",
        "halves",
        "third",
        "thirds",
        "quarter",
        "quarters",
        "fourths",
        "fifths",
        "sixths",
        "sevenths",
        "eighths",
        "ninths",
        "tenth",
        "tenths",
        "hundredth",
        "hundredths",
        "thousandth",
        "thousandths",
        "squared",
        "cubed",
        "factorial",
        "mod",
        "modulo",
        "percent",
        "hundred",
        "hundreds",
        "thousand",
        "thousands",
        "million",
        "billion",
        "dozen",
        "dozens",
        "score",
        "pi",
        "infinity",
        "sqrt",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "twenty",
        "thirty",
        "forty",
        "fifty",
        "wait",
        "actually",
        "unless",
        "because",
        "since",
        "answer",
        "guess",
        "unknown",
        "undefined",
        "instead",
    ]
)
_WORD = re.compile(r"[^\W\d_]+|[°¢]C?F?", re.UNICODE)
_COUNTERS = frozenset("个只本页人条张块辆朵棵支头件元名位颗粒盒箱把双套次倍瓶杯片")


def parse(text: str) -> Unit | None:
    """Return the unit that `text` names, or None where it is no unit and counts nothing.

    Args:
        text: what stands behind a number: ``km``, ``km/h``, ``square feet``, ``red apples``.
    """
    text = " ".join(text.split()).strip(" .")
    measured = known(text)
    if measured is not None:
        return measured
    above, slash, below = re.sub(r"\s+(?:per|an?|each)\s+|每", "/", text).partition("/")
    if slash:
        top, bottom = known(above.strip()), known(below.strip())
        if top and bottom:
            return Unit(f"{top.dimension}/{bottom.dimension}", top.factor / bottom.factor)
    words = _WORD.findall(text)
    if not words or len(words) > 4 or "".join(words) != re.sub(r"[\s/-]", "", text):
        return None
    if set("或和与不非" + chinese.ALPHABET) & set(text):
        return None
    if any(w.casefold() in _NOT_NOUNS for w in words) or any(
        len(w) < 2 and w not in _COUNTERS for w in words
    ):
        return None
    last = known(words[-1])
    if last is not None and not slash:
        return last
    return Unit("? " + " ".join(sorted(_stem(w) for w in words)))


def compatible(reference: Unit, answer: Unit) -> bool:
    """Whether both measure the same, or count things that share a word."""
    if reference.dimension.startswith("?") and answer.dimension.startswith("?"):
        return bool(set(reference.dimension[2:].split()) & set(answer.dimension[2:].split()))
    return reference.dimension == answer.dimension


def known(text: str) -> Unit | None:
    """Return the unit of measurement that `text` names, bare or squared or cubed."""
    if text in _UNITS:
        return _UNITS[text]
    low = text.casefold()
    for word in (low, low.removesuffix("s"), low.removesuffix("es")):
        if word in _UNITS and len(word) > 1:
            return _UNITS[word]
    power = re.fullmatch(
        r"(?:(?P<word>square|sq|cubic|cu|平方|立方)\.? ?(?P<a>.+)|"
        r"(?P<b>[^\W\d_]+) ?(?:\^ ?\{? ?(?P<n>[23]) ?\}?|(?P<w>squared|cubed)))",
        text,
    )
    if power is None:
        return None
    base = known(power["a"] or power["b"])
    if base is None or "^" in base.dimension:
        return None
    word = (power["word"] or power["w"] or "").casefold()
    n = int(power["n"]) if power["n"] else (3 if word in ("cubic", "cu", "立方", "cubed") else 2)
    return Unit(f"{base.dimension}^{n}", base.factor**n)


def _stem(word: str) -> str:
    word = word.casefold().removesuffix("s").removesuffix("e")
    return word[:-1] + "i" if word.endswith("y") else word
