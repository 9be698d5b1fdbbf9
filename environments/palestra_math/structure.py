r"""What an answer is: a quantity, a tuple, a set, an interval, a matrix, a relation, or text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from palestra_math import chinese, units
from palestra_math.exact import NotRational, Undefined, rational
from palestra_math.expression import FUNCTIONS, GREEK, Apply, Expr, Number, Symbol, parse
from palestra_math.limits import MAX_DEPTH, MAX_PARTS, Unreadable
from palestra_math.normalise import normalise
from palestra_math.tokens import Token, tokenize


@dataclass(frozen=True, slots=True)
class Quantity:
    """An expression, with the unit or percent sign that it was written with."""

    value: Expr
    unit: units.Unit | None = None
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Members in brackets: ``()``, ``[)``, ``{}``; an empty `kind` where there are none."""

    kind: str
    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Union:
    """Sets joined by a cup, or conditions by "or"."""

    parts: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of entries."""

    rows: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """``x = 5``, ``1 < x <= 5``, a chain ``a = b = c``: members, and what stands between them."""

    operators: tuple[str, ...]
    members: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """Words that are no mathematics: compared letter by letter, but for case and space."""

    words: str


Value = Quantity | Row | Union | Matrix | Relation | Text

_RELATIONS = {
    "=": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "\\le": "<=", "\\ge": ">=",
    "!=": "!=", "\\ne": "!=", "\\approx": "~",
}  # fmt: skip
_OPEN, _CLOSE = {"(", "[", "\\{", "{"}, {")", "]", "\\}", "}"}
_JOINERS = {"or": "or", "and": "and", "或": "or", "和": "and", "与": "and"}
_MATRICES = {"pmatrix", "bmatrix", "matrix", "Bmatrix", "array"}
_BASED = re.compile(r"(?:\\text\{)?([0-9A-Fa-f]+)\}?_\{?(?:\\text\{)?(\d+|two|eight|sixteen)\}*")
_REALS = Row("()", (Quantity(Apply("neg", (Symbol("oo"),))), Quantity(Symbol("oo"))))
_ARRAY_COLUMNS = re.compile(r"(\\begin\s*\{array\})\s*\{[clr|\s]*\}")


def read(text: str, *, list_expected: bool = False) -> Value:
    """Return what `text` says, as a value to compare.

    Args:
        text: one answer, as a person or a model wrote it.
        list_expected: read ``3,14`` as two numbers, not as a decimal.

    Raises:
        Unreadable: it is empty, or beyond the limits.
    """
    plain = normalise(text)
    words = _as_text(plain)
    if words is not None:
        return words
    based = _BASED.fullmatch(plain.replace(" ", ""))
    if based:
        return Text(f"{based[1]} base {based[2]}".casefold())
    try:
        tokens = tokenize(_ARRAY_COLUMNS.sub(r"\1", plain), list_expected=list_expected)
        return _read(tokens, 0)
    except Unreadable as exc:
        if re.search(r"limits|more than|tower|too many|exponent", str(exc)):
            raise
        return Text(" ".join(plain.casefold().split()))


def _as_text(plain: str) -> Value | None:
    """Return words as text and Chinese numerals as numbers; None where there is more to it."""
    numeral = re.match(f"(?:百分之)?(?:{chinese.NUMERAL.pattern})", plain)
    if numeral:
        percent = numeral[0].startswith("百分之")
        value = chinese.read(numeral[0].removeprefix("百分之"))
        rest = plain[numeral.end() :].strip()
        unit = units.parse(rest) if rest else None
        if value is not None and (unit is not None or not rest):
            return Quantity(Number(value), unit, percent)
    word = plain.removeprefix("\\")
    if re.fullmatch(r"[^\W\d_]{3,}", word) and word not in GREEK | {
        "infty",
        "infinity",
        "emptyset",
    }:
        return Text(word.casefold())
    return Text(plain.casefold()) if plain.casefold() in ("no", "or", "is", "if") else None


def _read(tokens: Sequence[Token], depth: int) -> Value:
    if not tokens:
        raise Unreadable("a part of the answer is empty")
    if depth > MAX_DEPTH:
        raise Unreadable(f"brackets more than {MAX_DEPTH} deep")
    if any(t.text in ("\\pm", "\\mp") for t in tokens):
        return _both_signs(tokens, depth)
    for split in (_joined, _related, _cups, _bracketed, _matrix, _special):
        value = split(tokens, depth)
        if value is not None:
            return value
    return _quantity(tokens)


def _top_level(tokens: Sequence[Token]) -> Iterator[tuple[int, Token]]:
    """Yield the tokens outside all brackets, with where they stand."""
    depth = 0
    for at, token in enumerate(tokens):
        mark = token.kind in ("mark", "command")
        if (mark and token.text in _OPEN) or token.kind == "begin":
            depth += 1
        elif (mark and token.text in _CLOSE) or token.kind == "end":
            depth -= 1
        elif depth == 0:
            yield at, token


def _split(tokens: Sequence[Token], cuts: Sequence[int]) -> list[Sequence[Token]]:
    edges = [-1, *cuts, len(tokens)]
    if len(edges) - 1 > MAX_PARTS:
        raise Unreadable(f"more than {MAX_PARTS} parts")
    return [tokens[a + 1 : b] for a, b in pairwise(edges)]


def _both_signs(tokens: Sequence[Token], depth: int) -> Value:
    def signed(plus: str, minus: str) -> list[Token]:
        signs = {"\\pm": plus, "\\mp": minus}
        return [Token("mark", signs[t.text]) if t.text in signs else t for t in tokens]

    parts = (_read(signed("+", "-"), depth + 1), _read(signed("-", "+"), depth + 1))
    return Row("", parts)


def _joined(tokens: Sequence[Token], depth: int) -> Value | None:
    cuts: list[int] = []
    words: set[str] = set()
    for at, token in _top_level(tokens):
        word = _JOINERS.get(token.text.strip().casefold()) if token.kind != "mark" else None
        if word or (token.kind == "mark" and token.text in (",", ";")):
            cuts.append(at)
            words.add(word or ",")
    if not cuts:
        return None
    pieces = _split(tokens, cuts)
    oxford = [p for i, p in enumerate(pieces) if p or i in (0, len(pieces) - 1)]  # ", and"
    parts = tuple(_read(p, depth + 1) for p in oxford)
    if words == {"or"} and all(isinstance(p, Relation) and "=" not in p.operators for p in parts):
        return Union(parts)
    return Row("", parts)


def _related(tokens: Sequence[Token], depth: int) -> Value | None:
    cuts = [(at, t) for at, t in _top_level(tokens) if t.text in _RELATIONS or t.text == "\\in"]
    if not cuts:
        return None
    pieces = _split(tokens, [at for at, _ in cuts])
    if cuts[0][1].text == "\\in":
        return _read(pieces[1], depth + 1) if len(pieces) == 2 else None
    operators = tuple(_RELATIONS.get(t.text, "?") for _, t in cuts)
    return Relation(operators, tuple(_member(p, depth) for p in pieces))


def _member(tokens: Sequence[Token], depth: int) -> Value:
    """Read a side of a relation: words such as "total" or ``f(x)`` name what is asked for."""
    try:
        return _read(tokens, depth + 1)
    except Unreadable:
        if tokens and all(t.kind in ("text", "name") for t in tokens) and len(tokens) <= 6:
            return Text(" ".join(t.text for t in tokens).casefold())
        raise


def _cups(tokens: Sequence[Token], depth: int) -> Value | None:
    cuts = [at for at, token in _top_level(tokens) if token.text == "\\cup"]
    if not cuts:
        return None
    return Union(tuple(_read(p, depth + 1) for p in _split(tokens, cuts)))


def _bracketed(tokens: Sequence[Token], depth: int) -> Value | None:
    first, last = tokens[0], tokens[-1]
    pair = first.text.lstrip("\\") + last.text.lstrip("\\")
    if len(tokens) < 2 or not re.fullmatch(r"[\[(\]][\])\[]|\{\}", pair):
        return None
    if len(tokens) == 2:
        return Row(pair, ()) if pair == "{}" else None
    inner = tokens[1:-1]
    commas: list[int] = []
    level = 0
    for at, token in enumerate(inner):
        if token.kind in ("mark", "command"):
            level += (token.text in _OPEN) - (token.text in _CLOSE)
            if level < 0:
                return None  # (1)(2)
            if level == 0 and token.text in (",", ";"):
                commas.append(at)
    if not commas:
        single = pair == "{}" and first.text == "\\{"
        if pair in ("()", "{}", "[]") and level == 0:
            value = _read(inner, depth + 1)
            return Row("{}", (value,)) if single else value
        return None
    pair = {"][": "()", "](": "()", "]]": "(]", ")[": "()"}.get(pair, pair)
    return Row(pair, tuple(_read(p, depth + 1) for p in _split(inner, commas)))


def _matrix(tokens: Sequence[Token], depth: int) -> Value | None:
    if tokens[0].kind != "begin" or tokens[-1].kind != "end" or tokens[0].text not in _MATRICES:
        return None
    inner = tokens[1:-1]
    rows: list[list[list[Token]]] = [[[]]]
    for token in inner:
        if token.kind == "command" and token.text == "\\\\":
            rows.append([[]])
        elif token.text in ("&", "\\&"):
            rows[-1].append([])
        else:
            rows[-1][-1].append(token)
    rows = [row for row in rows if row != [[]]]
    if sum(map(len, rows)) > MAX_PARTS:
        raise Unreadable(f"more than {MAX_PARTS} entries")
    return Matrix(tuple(tuple(_read(cell, depth + 1) for cell in row) for row in rows))


def _special(tokens: Sequence[Token], depth: int) -> Value | None:
    if len(tokens) != 1:
        return None
    if tokens[0].text == "\\emptyset":
        return Row("{}", ())
    if tokens[0].kind == "field" and tokens[0].text == "R":
        return _REALS
    return None


def _quantity(tokens: Sequence[Token]) -> Quantity:
    unit: units.Unit | None = None
    negative = tokens[0].text == "-" and len(tokens) > 1 and tokens[1].text in units.CURRENCY
    head = tokens[1:] if negative else tokens
    if head[0].text in units.CURRENCY and len(head) > 1:
        unit = units.parse(units.CURRENCY[head[0].text])
        tokens = [*tokens[:1], *head[1:]] if negative else head[1:]
    percent = tokens[-1].text in ("%", "\\%") or tokens[-1].text.casefold() in (
        "percent",
        "percents",
    )
    if percent:
        tokens = tokens[:-1]
    cut = _where_unit_starts(tokens)
    if cut is None:
        return Quantity(parse(tokens), unit, percent)
    behind = " ".join(t.text for t in tokens[cut:]).replace("^ \\circ", "°").replace("° ", "°")
    value = parse(tokens[:cut])
    scale, _, rest = behind.strip().partition(" ")
    if scale.casefold() in units.SCALES and not percent:
        value = Number(_number(value) * units.SCALES[scale.casefold()])
        behind = rest
    if behind.strip():
        named = units.parse(behind)
        if named is None:  # 2abc + 1
            return Quantity(parse(tokens), unit, percent)
        unit = unit if unit is not None and named.dimension.startswith("?") else named
    return Quantity(value, unit, percent)


def _number(value: Expr) -> Fraction:
    """Return a numeral's value: "3 million" is a number, "x million" is not."""
    try:
        return rational(value)
    except (NotRational, Undefined) as exc:
        raise Unreadable("a scale word behind an expression") from exc


def _where_unit_starts(tokens: Sequence[Token]) -> int | None:
    """Return where the words behind a number begin: at text, at a noun, at a degree sign."""
    if any(t.text.lstrip("\\") in FUNCTIONS - {"sqrt", "abs"} for t in tokens):
        return None
    for at in range(1, len(tokens)):
        token, before = tokens[at], tokens[at - 1]
        after_value = before.kind == "number" or before.text in (")", "}", "\\pi", "pi")
        if not after_value:
            continue
        if token.kind == "text" or (
            token.text == "^" and at + 1 < len(tokens) and tokens[at + 1].text == "\\circ"
        ):
            return at
        if token.kind == "name" and token.text not in FUNCTIONS | GREEK | {"pi"}:
            known = token.spaced and token.text in units.SINGLE
            if known or not token.text.isascii() or len(token.text) >= 3:
                return at
            if len(token.text) == 2 and units.known(token.text) is not None:
                return at
    return None
