"""A calculator for untrusted text: a whitelist of syntax, exact numbers, bounded work."""

from __future__ import annotations

import ast
import warnings
from fractions import Fraction

LONGEST = 200
MOST_DIGITS = 200
HIGHEST_POWER = 64


class Refused(ValueError):
    """An expression that the calculator does not compute; the text says why."""


def evaluate(expression: str) -> Fraction:
    """Return the value of ``+ - * / // % **`` over numbers and parentheses, exactly.

    Python parses the text, and nothing of it is run: each node of the tree must be on the list.

    Raises:
        Refused: anything else, a division by zero, or a number that grows too long.

    Example:
        >>> evaluate("(1 + 2) * 3 / 4")
        Fraction(9, 4)
    """
    if len(expression) > LONGEST:
        raise Refused(f"an expression of {len(expression)} characters, at most {LONGEST}")
    try:
        with warnings.catch_warnings():  # "1if 2" warns, of text that is not ours
            warnings.simplefilter("ignore")
            tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        raise Refused("no arithmetic expression") from exc
    return _value(tree.body)


def shown(value: Fraction) -> str:
    """Return a number as people write it: an integer, a short decimal, or a fraction."""
    if value.denominator == 1:
        return str(value.numerator)
    decimal = value * 10**6
    if decimal.denominator == 1:
        whole, rest = divmod(abs(decimal.numerator), 10**6)
        return f"{'-' if value < 0 else ''}{whole}.{rest:06d}".rstrip("0")
    return f"{value.numerator}/{value.denominator}"


def _value(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            try:
                return _bounded(Fraction(str(number)))
            except (ValueError, OverflowError) as exc:  # inf, or more digits than str() writes
                raise Refused("a number that is too long") from exc
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(left=left, op=op, right=right):
            return _bounded(_applied(op, _value(left), _value(right)))
        case _:
            raise Refused("only numbers, + - * / // % ** and parentheses")


def _applied(op: ast.operator, left: Fraction, right: Fraction) -> Fraction:
    if isinstance(op, ast.Div | ast.FloorDiv | ast.Mod) and right == 0:
        raise Refused("a division by zero")
    match op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.FloorDiv():
            return Fraction(left // right)
        case ast.Mod():
            return left % right
        case ast.Pow():
            if right.denominator != 1 or abs(right) > HIGHEST_POWER or (left == 0 > right):
                raise Refused(f"powers are whole, of {HIGHEST_POWER} at most")
            return left ** int(right)
        case _:
            raise Refused("only numbers, + - * / // % ** and parentheses")


def _bounded(value: Fraction) -> Fraction:
    if max(abs(value.numerator), value.denominator) >= 10**MOST_DIGITS:
        raise Refused(f"a number of more than {MOST_DIGITS} digits")
    return value
