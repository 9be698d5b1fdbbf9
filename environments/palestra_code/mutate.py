"""Single small faults put into a program: for `code/Repair-v1`, and for tests of the grader."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

_SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
    ast.FloorDiv: (ast.Mod,),
    ast.Div: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A program with one fault.

    Attributes:
        source: the program.
        line: where the fault is, in the source that it was put into.
        fault: what was changed, as in ``Lt -> LtE``.
    """

    source: str
    line: int
    fault: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every program that differs from `source` in one operator, constant or condition."""
    tree = ast.parse(source)
    for position, node in enumerate(ast.walk(tree)):
        for number, fault in enumerate(_faults(node)):
            changed = copy.deepcopy(tree)
            target = next(each for i, each in enumerate(ast.walk(changed)) if i == position)
            _apply(target, number)
            ast.fix_missing_locations(changed)
            yield Mutant(ast.unparse(changed), getattr(node, "lineno", 0), fault)


def _faults(node: ast.AST) -> list[str]:
    """Return the names of the faults that `_apply` can put into a node, in its order."""
    if isinstance(node, ast.BinOp | ast.BoolOp):
        return _swap_names(node.op)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return _swap_names(node.ops[0])
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return ["constant + 1", "constant - 1"]
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        return ["constant turned round"]
    if isinstance(node, ast.If | ast.While):
        return ["condition turned round"]
    return []


def _swap_names(op: ast.AST) -> list[str]:
    return [f"{type(op).__name__} -> {new.__name__}" for new in _SWAPS.get(type(op), ())]


def _apply(node: ast.AST, number: int) -> None:
    if isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = _SWAPS[type(node.op)][number]()  # type: ignore[assignment]
    elif isinstance(node, ast.Compare):
        node.ops = [_SWAPS[type(node.ops[0])][number]()]  # type: ignore[list-item]
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            node.value = not node.value
        elif isinstance(node.value, int):
            node.value += 1 if number == 0 else -1
    elif isinstance(node, ast.If | ast.While):
        node.test = ast.UnaryOp(ast.Not(), node.test)
