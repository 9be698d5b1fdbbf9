"""`code/Expression-v1`: what a small Python expression evaluates to."""

from __future__ import annotations

import ast
from collections.abc import Callable

import numpy as np

from palestra.envs import Score, SingleTurnEnv, Task, verdict
from palestra.envs.answers import lenient_answer, strict_answer
from palestra_code.compare import identical
from palestra_code.evaluator import Refused, evaluate, literal

_ASK = {"en": "What does {e} evaluate to in Python?", "zh": "Python中{e}的值是什么？"}
_STEP = {"en": "{e} is {v}", "zh": "{e}是{v}"}
_LETTERS = list("abcdxyz")


class ExpressionEnv(SingleTurnEnv):
    """Read an expression and say its value, as Python would print it.

    Levels: 1 two operators on digits; 2 parentheses; 3 floor division, remainder and power;
    4 texts and lists; 5 conditions. The value is computed by `evaluator`, which also reads the
    answer: as a literal, so that the question itself is no answer.
    """

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        language = "en" if rng.random() < 0.5 else "zh"
        while True:
            expression = _LEVELS[difficulty - 1](rng)
            try:
                value = evaluate(expression)
            except Refused:  # a division by zero: draw again
                continue
            return Task(
                prompt=_ASK[language].format(e=expression),
                reference=repr(value),
                language=language,
                metadata={"expression": expression},
            )

    def grade(self, task: Task, completion: str) -> Score:
        strict = strict_answer(completion)
        return verdict(
            strict,
            correct=_is(strict, task.reference),
            lenient=_is(lenient_answer(completion), task.reference),
        )

    def reference_completion(self, task: Task) -> str:
        say = _STEP[task.language or "en"]
        lines = [say.format(e=e, v=v) for e, v in worked(str(task.metadata["expression"]))]
        return f"<think>{chr(10).join(lines)}</think><answer>{task.reference}</answer>"

    def probes(self, task: Task) -> list[str]:
        """The question itself, a list of guesses, and code instead of a value."""
        expression = str(task.metadata["expression"])
        cheats = (expression, "0 or 1 or 2", f"eval({expression!r})", "9**9**9")
        return [f"<think>x</think><answer>{each}</answer>" for each in cheats]


def worked(expression: str) -> list[tuple[str, str]]:
    """Return the operations of an expression in the order of their evaluation, each with its value.

    Example:
        >>> worked("(3+4)*2-5")
        [('3+4', '7'), ('7*2', '14'), ('14-5', '9')]
    """
    reduction = _Reduction()
    reduction.visit(ast.parse(expression, mode="eval").body)
    return reduction.steps or [(expression, repr(evaluate(expression)))]


class _Reduction(ast.NodeTransformer):
    """Puts the value in the place of each operation, innermost first, and notes the step."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str]] = []

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        return self._valued(node, ast.unparse(node).replace(" ", ""))

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        return self._valued(node, ast.unparse(node))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        return self._valued(node, ast.unparse(node))

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        return self._valued(node, ast.unparse(node))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        return self._valued(node, ast.unparse(node)) if isinstance(node.op, ast.Not) else node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self.generic_visit(node)
        return self._valued(node, ast.unparse(node))

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        node.test = self.visit(node.test)
        chosen = node.body if evaluate(ast.unparse(node.test)) else node.orelse
        if isinstance(chosen, ast.Constant):
            return self._valued(node, ast.unparse(node))
        return self.visit(chosen)

    def _valued(self, node: ast.expr, text: str) -> ast.expr:
        value = repr(evaluate(text))
        self.steps.append((text, value))
        return ast.parse(value, mode="eval").body


def _is(answer: str | None, reference: object) -> bool:
    try:
        return answer is not None and identical(literal(answer), literal(str(reference)))
    except Refused:
        return False


def _digit(rng: np.random.Generator, low: int = 0) -> int:
    return int(rng.integers(low, 10))


def _pick(rng: np.random.Generator, choices: str | list[str]) -> str:
    return str(choices[int(rng.integers(len(choices)))])


def _chain(rng: np.random.Generator) -> str:
    a, b, c = (_digit(rng) for _ in range(3))
    return f"{a}{_pick(rng, '+-*')}{b}{_pick(rng, '+-*')}{c}"


def _parentheses(rng: np.random.Generator) -> str:
    a, b, c, d = (_digit(rng) for _ in range(4))
    inner = f"({a}{_pick(rng, '+-')}{b})"
    return f"{inner}*{c}{_pick(rng, '+-')}{d}" if rng.random() < 0.5 else f"{d}-{c}*{inner}"


def _division(rng: np.random.Generator) -> str:
    a, b = int(rng.integers(10, 100)), _digit(rng, 2)
    op = _pick(rng, ["//", "%", "**"])
    if op == "**":
        return f"{_digit(rng, 2)}**{int(rng.integers(2, 4))}{_pick(rng, '+-')}{a}"
    return f"{a}{op}{b}{_pick(rng, '+-*')}{_digit(rng)}"


def _sequence(rng: np.random.Generator) -> str:
    members = [_digit(rng) for _ in range(int(rng.integers(3, 6)))]
    text = "".join(_pick(rng, _LETTERS) for _ in range(int(rng.integers(2, 6))))
    k = int(rng.integers(1, 3))
    forms = [
        f"len({members})+{k}",
        f"sorted({members})[{k}]",
        f"sum({members}[{k}:])",
        f"max({members})-min({members})",
        f"{text!r}*{k}",
        f"{text!r}[::-1]",
        f"len({text!r}*{_digit(rng, 2)})",
        f"{members}[-{k}]",
        f"{members[:2]}+{members[2:]}",
    ]
    return _pick(rng, forms)


def _condition(rng: np.random.Generator) -> str:
    a, b, c, d = (_digit(rng) for _ in range(4))
    members = [_digit(rng) for _ in range(4)]
    forms = [
        f"{a} if {b}<{c} else {d}",
        f"{a}+{b}>{c} and {d}>{a}",
        f"not {a} in {members}",
        f"{a}*{b} if {c} in {members} else {c}*{d}",
        f"{a}%3==0 or {b}%2=={c}%2",
        f"sum({members})%{_digit(rng, 2)}=={_digit(rng)}",
    ]
    return _pick(rng, forms)


_LEVELS: tuple[Callable[[np.random.Generator], str], ...] = (
    _chain,
    _parentheses,
    _division,
    _sequence,
    _condition,
)
