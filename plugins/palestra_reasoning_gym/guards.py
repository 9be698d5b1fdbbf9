"""What stands between a policy's answer and upstream's scorer.

Some scorers of reasoning-gym evaluate the answer as Python, some pay a constant, some pay a text
that merely holds the answer. A guard is a shape that the answer must have before the scorer sees
it, or a check of our own in the scorer's place.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, cast

from palestra.envs.answers import same_answer

LONGEST = 100_000
"""Characters of an answer that any scorer is given."""

_SHAPES = {
    "bits": r"[01\s]+",
    "numbers": r"[\d\s]+",
    "buttons": r"[A-C](?:\s*(?:(?:→|->|,)\s*)?[A-C])*",
    "factors": r"\d{1,30}(?:\s*[×x*]\s*\d{1,30})*",
    "complex": r"[-+\d.\sij]{1,60}",
    "fraction": r"\$?\s*(?:\d{1,30}\s*/\s*\d{1,30}|\\[dt]?frac\{\d{1,30}\}\{\d{1,30}\})\s*\$?",
}
_DECIMALS = r"-?\d{1,30}(?:\.\d{1,30})?(?:\s*,\s*-?\d{1,30}(?:\.\d{1,30})?)*"
_FUNCTIONS = frozenset({"sin", "cos", "tan", "asin", "acos", "atan", "exp", "log", "sqrt", "Abs"})
_NAMES = re.compile(r"[A-Za-z]+")
_EXPRESSION = re.compile(r"[A-Za-z\d.+\-*/()\s]+")
_NO_NUMBER = re.compile(r"\d{13}|\d[A-Za-z]|\.\D|\.$|[A-Za-z)]\.")
_POWER = re.compile(r"\*\*\s*\(?\s*-?\s*(\d+)")
_TOWER = re.compile(r"\*\*\s*\(?\s*-?\s*\d+\s*\)?\s*\*\*")
_LARGEST_POWER = 100


def admits(guard: str, answer: str) -> bool:
    """Return whether the answer has the shape that the guard asks for."""
    if len(answer) > LONGEST:
        return False
    if guard == "expression":
        return _is_plain_expression(answer)
    return guard not in _SHAPES or re.fullmatch(_SHAPES[guard], answer.strip()) is not None


def own_verdict(guard: str, answer: str, entry: Mapping[str, Any]) -> bool | None:
    """Return the verdict of the check that replaces the scorer, or None where the scorer stays."""
    if guard == "exact":
        return same_answer(answer, entry["answer"])
    if guard == "unspaced":
        return "".join(answer.split()) == "".join(str(entry["answer"]).split())
    if guard == "listed":
        return answer.strip() in entry["metadata"]["valid_answers"]
    if guard == "solutions":
        return _same_solutions(answer, str(entry["answer"]))
    if guard == "arithmetic":
        metadata = entry["metadata"]
        return _reaches(answer, metadata["numbers"], metadata.get("target", 24))
    return None


def _same_solutions(answer: str, reference: str) -> bool:
    """Whether two lists of decimals are the same in some order, to the fourth digit."""
    given, right = (
        sorted(float(x) for x in text.split(",")) if re.fullmatch(_DECIMALS, text) else None
        for text in (answer.strip(), reference.strip())
    )
    if given is None or right is None or len(given) != len(right):
        return False
    return all(abs(a - b) <= 1e-4 for a, b in zip(given, right, strict=True))


def _is_plain_expression(answer: str) -> bool:
    """Whether sympy may parse it: one variable letter, known functions, small powers, no Python."""
    if len(answer) > 2_000 or not _EXPRESSION.fullmatch(answer):
        return False
    if _NO_NUMBER.search(answer):
        return False
    if any(len(name) > 1 and name not in _FUNCTIONS for name in _NAMES.findall(answer)):
        return False
    if _TOWER.search(answer):
        return False
    return all(int(power) <= _LARGEST_POWER for power in _POWER.findall(answer))


_OPERATORS: Mapping[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
}


def _reaches(answer: str, numbers: list[int], target: int) -> bool:
    """Whether an expression of + - * / makes `target` of exactly these numbers, each once."""
    text = answer.strip()
    if len(text) > 500 or re.fullmatch(r"[-+*/()\d\s]+", text) is None or "**" in text:
        return False
    used = sorted(int(number) for number in re.findall(r"\d{1,12}", text))
    if used != sorted(numbers):
        return False
    try:
        return _value(ast.parse(text, mode="eval").body) == target
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return False


def _value(node: ast.expr) -> Fraction:
    """Evaluate the four operations, exactly."""
    if isinstance(node, ast.Constant):
        return Fraction(cast("int", node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if not isinstance(node, ast.BinOp) or type(node.op) not in _OPERATORS:
        raise ValueError("no arithmetic")
    left, right = _value(node.left), _value(node.right)
    match _OPERATORS[type(node.op)]:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _:
            return left / right
