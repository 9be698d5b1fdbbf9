"""Whether two values are the same answer: kinds, order, brackets and units by fixed rules."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from palestra_math import units
from palestra_math.equal import equal, proportional, worked_out
from palestra_math.exact import NotRational, Undefined, numeric, rational
from palestra_math.expression import Apply, Expr, Number, Symbol, symbols
from palestra_math.structure import Matrix, Quantity, Relation, Row, Text, Union, Value

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
_UNORDERED = ("", "{}")
_DENIED = frozenset(
    ["not", "no", "or", "wrong", "false", "never", "maybe"]
)  # "not x = 42" names nothing


def same(reference: Value, answer: Value) -> bool:
    """Whether `answer` says what `reference` says, and has worked it out as far.

    Where a set or a bare list is asked for the order does not matter; in brackets it does. A
    reference ``x = 5`` may be answered by ``5``, and 5 by ``x = 5``.
    """
    answer = _settled(answer, reference)
    match reference, answer:
        case Quantity(), Quantity():
            return _same_quantity(reference, answer)
        case Text(left), Text(right):
            return left == right
        case Matrix(rows), Matrix(others):
            return len(rows) == len(others) and all(map(_in_order, rows, others))
        case Matrix(rows), Row(_, items) if all(isinstance(i, Row) for i in items):
            lists = [i.items for i in items if isinstance(i, Row)]
            return len(rows) == len(lists) and all(map(_in_order, rows, lists))
        case Relation(), Relation():
            return _same_relation(reference, answer)
        case Relation(operators, members), _ if set(operators) == {"="}:
            return _is_name(members[0]) and len(members) == 2 and same(members[1], answer)
        case Union(parts), Union(others):
            return _matched(parts, others)
        case Row(), Row():
            return _same_row(reference, answer)
        case Row("{}", (only,)), Quantity():
            return same(only, answer)
        case ((Row() | Union()), Relation()):
            bounds = _interval(answer)
            return bounds is not None and same(reference, bounds)
        case Relation(), Row():
            bounds = _interval(reference)
            return bounds is not None and same(bounds, answer)
        case _:
            return False


def _settled(answer: Value, reference: Value) -> Value:
    """Drop the name in front of an answer: ``x = 5``, ``f(2) = 5``, where 5 is asked for."""
    if isinstance(reference, Relation) or not isinstance(answer, Relation):
        return answer
    members = list(answer.members)
    operators = list(answer.operators)
    if set(answer.operators) == {"="}:
        if len(members) > 1 and _is_name(members[0]):
            del members[0]
        if len(members) == 1:
            return members[0]
        return members[-1] if _consistent(members, reference) else answer
    if operators[-1:] == ["~"] and set(operators) <= {"=", "~"} and len(members) > 1:
        exact, rounded = members[-2:]
        if isinstance(exact, Quantity) and isinstance(rounded, Quantity):
            return exact if _approximates(rounded.value, exact.value) else answer
    return answer


def _consistent(members: Sequence[Value], reference: Value) -> bool:
    """Whether a chain says one thing all along: ``12+30 = 42`` does, ``41 = 42`` does not."""
    if not isinstance(reference, Quantity):
        return False
    return all(isinstance(m, Quantity) and _quantities_agree(reference, m) for m in members)


def _approximates(rounded: Expr, exact: Expr) -> bool:
    try:
        value, given = numeric(exact), numeric(rounded)
        return bool(abs(value - given) * 200 <= abs(value))
    except Undefined:
        return False


def _is_name(value: Value) -> bool:
    match value:
        case Text(words):
            return not any(c.isdigit() for c in words) and not _DENIED & set(words.split())
        case Row(_, items):
            return bool(items) and all(map(_is_name, items))  # (x, y) = (1, 2)
        case Quantity(Symbol(name), None, False):
            return name not in ("pi", "e", "i", "oo")
        case Quantity(Apply("*", (Symbol(), Symbol() | Number())), None, False):
            return True  # f(x), f(2): one letter before brackets
        case Quantity(Apply("*", (Symbol(), Apply())) as tree, None, False):
            return len(symbols(tree)) <= 3
        case _:
            return False


# -- quantities ---------------------------------------------------------------------------------


def _same_quantity(reference: Quantity, answer: Quantity) -> bool:
    return _quantities_agree(reference, answer) and worked_out(reference.value, answer.value)


def _quantities_agree(reference: Quantity, answer: Quantity) -> bool:
    left, right = reference.unit, answer.unit
    if left is not None and right is not None:
        if {left.dimension, right.dimension} == {"degree", "radian"}:
            return equal(_radians(reference), _radians(answer))
        if not units.compatible(left, right):
            return False
        if left.factor != right.factor:
            return equal(_scaled(reference.value, left), _scaled(answer.value, right))
    elif (left or right) in (units.parse("°"),) and equal(_radians(reference), _radians(answer)):
        return True
    if reference.percent != answer.percent:
        percent, plain = (reference, answer) if reference.percent else (answer, reference)
        if equal(Apply("/", (percent.value, Number(Fraction(100)))), plain.value):
            return True
        return _above_one(percent.value) and equal(reference.value, answer.value)
    return equal(reference.value, answer.value)


def _above_one(value: Expr) -> bool:
    """A bare percent sign may be a unit only where it cannot be mistaken: 50% for 50."""
    try:
        return rational(value) > 1
    except (NotRational, Undefined):
        return False


def _scaled(value: Expr, unit: units.Unit) -> Expr:
    return Apply("*", (value, Number(unit.factor)))


def _radians(quantity: Quantity) -> Expr:
    in_degrees = quantity.unit is not None and quantity.unit.dimension == "degree"
    return Apply("degree", (quantity.value,)) if in_degrees else quantity.value


# -- rows ---------------------------------------------------------------------------------------


def _same_row(reference: Row, answer: Row) -> bool:
    kinds = {reference.kind, answer.kind}
    if len(reference.items) != len(answer.items):
        return False
    if kinds <= set(_UNORDERED):
        return _matched(reference.items, answer.items)
    if reference.kind != answer.kind and "" not in kinds:
        return False
    return _in_order(reference.items, answer.items)


def _in_order(left: Sequence[Value], right: Sequence[Value]) -> bool:
    return len(left) == len(right) and all(map(same, left, right))


def _matched(left: Sequence[Value], right: Sequence[Value]) -> bool:
    """Whether each member has one partner; sameness is an equivalence, so greed finds them."""
    if len(left) != len(right):
        return False
    waiting = list(right)
    for item in left:
        partner = next((i for i, other in enumerate(waiting) if same(item, other)), None)
        if partner is None:
            return False
        del waiting[partner]
    return True


# -- relations ----------------------------------------------------------------------------------


def _same_relation(reference: Relation, answer: Relation) -> bool:
    if len(reference.members) == len(answer.members) == 2:
        if all(_is_name(r.members[0]) for r in (reference, answer)) and (
            reference.operators == answer.operators == ("=",)
        ):
            names = reference.members[0] == answer.members[0]
            if names and same(reference.members[1], answer.members[1]):
                return True
        return _same_condition(reference, answer)
    left, right = _interval(reference), _interval(answer)
    return left is not None and right is not None and same(left, right)


def _same_condition(reference: Relation, answer: Relation) -> bool:
    """Whether two equations, or inequalities, differ by a constant factor alone."""
    left, right = _difference(reference), _difference(answer)
    if left is None or right is None or not symbols(left) | symbols(right):
        return False
    factor = proportional(left, right)
    if factor is None:
        return False
    operator = answer.operators[0]
    return reference.operators[0] == (operator if factor > 0 else _FLIPPED.get(operator))


def _difference(relation: Relation) -> Expr | None:
    match relation.members:
        case (Quantity(left, None, False), Quantity(right, None, False)):
            return Apply("+", (left, Apply("neg", (right,))))
        case _:
            return None


def _interval(relation: Relation) -> Row | None:
    """Return the interval that ``1 < x <= 5`` or ``x > 2`` describes."""
    members, operators = list(relation.members), list(relation.operators)
    if not set(operators) <= {"<", ">", "<=", ">="}:
        return None
    if operators[0].startswith(">"):
        members, operators = members[::-1], [_FLIPPED[o] for o in operators[::-1]]
    if not all(o.startswith("<") for o in operators):
        return None
    at = next((i for i, m in enumerate(members) if _is_name(m)), None)
    infinity: Value = Quantity(Symbol("oo"))
    match at, len(members):
        case 1, 3:
            low, high, ends = members[0], members[2], operators
        case 0, 2:
            low, high = Quantity(Apply("neg", (Symbol("oo"),))), members[1]
            ends = ["<", operators[0]]
        case 1, 2:
            low, high, ends = members[0], infinity, [operators[0], "<"]
        case _:
            return None
    return Row(("(" if ends[0] == "<" else "[") + (")" if ends[1] == "<" else "]"), (low, high))
