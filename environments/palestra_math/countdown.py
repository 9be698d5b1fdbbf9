"""`math/Countdown-v1`: reach a target with given numbers, each used once, by + - * and /."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from palestra.envs import Score, SingleTurnEnv, Status, Task
from palestra_math.exact import NotRational, Undefined, rational
from palestra_math.expression import Apply, Expr, Number, parse
from palestra_math.extract import extract
from palestra_math.limits import Unreadable
from palestra_math.normalise import normalise
from palestra_math.tokens import tokenize

_OPERATIONS = frozenset(["+", "*", "/", "neg"])


class CountdownEnv(SingleTurnEnv):
    """Level n gives n + 2 numbers and a target from 10 to 999 that can be reached.

    There are many right answers, so the certificate is checked: the expression is read by our own
    parser, must hold exactly the numbers given, and is worked out in fractions.
    """

    difficulties = (1, 4)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        while True:
            numbers = [int(n) for n in rng.integers(1, 51, size=difficulty + 2)]
            value, text = _combined(rng, numbers)
            if value.denominator == 1 and 10 <= value <= 999 and value not in numbers:
                break
        shown = [int(n) for n in rng.permutation(numbers)]
        listed = ", ".join(map(str, shown))
        return Task(
            prompt=(
                f"Use each of the numbers {listed} exactly once, with +, -, *, / and brackets, "
                f"to make {value}. Answer with the expression."
            ),
            reference=text,
            metadata={"numbers": shown, "target": int(value)},
            language="en",
        )

    def grade(self, task: Task, completion: str) -> Score:
        strict, reason = self._verdict(task, extract(completion, ("tags",)).text)
        any_form = extract(completion, ("tags", "boxed", "phrase", "whole")).text
        lenient, _ = self._verdict(task, any_form)
        found = extract(completion, ("tags",))
        return Score(
            value=float(strict),
            components={"accuracy": float(strict), "lenient_accuracy": float(lenient)},
            status=Status.UNPARSABLE if found.text is None else Status.OK,
            reason=reason,
            extracted=found.text and found.text[:200],
        )

    def _verdict(self, task: Task, answer: str | None) -> tuple[bool, str]:
        if answer is None:
            return False, "no answer behind the thoughts"
        target, numbers = task.metadata["target"], task.metadata["numbers"]
        assert isinstance(target, int)
        assert isinstance(numbers, list)
        try:
            expression, _, claimed = normalise(answer).partition("=")
            if claimed.strip() and claimed.strip() != str(target):
                return False, f"the answer claims {claimed.strip()[:40]}, not {target}"
            tree = parse(tokenize(expression, list_expected=True))
            if sorted(leaves(tree)) != sorted(numbers):
                return False, "the answer does not use each number exactly once"
            value = rational(tree)
        except (Unreadable, NotRational, Undefined, RecursionError) as exc:
            return False, str(exc) or "no expression of + - * /"
        return value == target, "" if value == target else f"the expression is {value}"

    def probes(self, task: Task) -> Iterable[str]:
        """Return the target itself, numbers used twice or left out, and evaluator bait."""
        target, right = task.metadata["target"], task.reference
        yield from (
            f"<answer>{text}</answer>"
            for text in (
                f"{target}",
                f"{target}*1",
                f"{right}+0",
                f"({right})*1",
                f"0*({right})+{target}",
                f"{right} = {target}0",
                f"{right} if True else 0",
                f"lambda: {right}",
                f"__import__('builtins').int('{target}')",
            )
        )


def leaves(tree: Expr) -> list[Fraction]:
    """Return the numbers of an expression of the four operations.

    Raises:
        Unreadable: it holds anything else.
    """
    match tree:
        case Number(value):
            return [value]
        case Apply(name, args) if name in _OPERATIONS:
            return [leaf for arg in args for leaf in leaves(arg)]
        case _:
            raise Unreadable("only + - * / and the numbers given may be used")


def _combined(rng: np.random.Generator, numbers: list[int]) -> tuple[Fraction, str]:
    """Join two at random until one is left: its value, and how it came about."""
    pool = [(Fraction(n), str(n)) for n in numbers]
    while len(pool) > 1:
        (a, left), (b, right) = (pool.pop(int(rng.integers(len(pool)))) for _ in range(2))
        sign = "+-*/"[int(rng.integers(4))]
        if sign == "/" and (b == 0 or (a / b).denominator != 1):
            sign = "+"
        if sign == "-" and a < b:
            (a, left), (b, right) = (b, right), (a, left)
        value = {"+": a + b, "-": a - b, "*": a * b}[sign] if sign != "/" else a / b
        pool.append((value, f"({left}{sign}{right})"))
    return pool[0][0], pool[0][1].removeprefix("(").removesuffix(")")
