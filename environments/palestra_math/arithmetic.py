"""`math/Arithmetic-v1`: column arithmetic of graded difficulty, asked in English or Chinese."""

from __future__ import annotations

import numpy as np

from palestra.envs import Score, SingleTurnEnv, Task, verdict
from palestra.envs.answers import last_number, same_answer, strict_answer

_ASK = {
    "en": ("What is {q}?", "Calculate {q}.", "How much is {q}?"),
    "zh": ("{q}等于多少？", "计算{q}。", "{q}是多少？"),
}
_COLUMNS = {
    "en": ("ones", "tens", "hundreds", "thousands"),
    "zh": ("个位", "十位", "百位", "千位"),
}
_WORDS = {
    "en": {"colon": ": ", "carry": " carry ", "borrow": " borrow ", "so": "so "},
    "zh": {"colon": "：", "carry": "进", "borrow": "借", "so": "所以"},
}


class ArithmeticEnv(SingleTurnEnv):
    """Sums, differences and products, worked column by column.

    Levels: 1 two digits and one digit; 2 two and two digits; 3 three and three digits; 4 a product
    of two digits and one; 5 a product of three digits and one. Differences are never negative.
    """

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        language = "en" if rng.random() < 0.5 else "zh"
        a, op, b = _operands(rng, difficulty)
        ask = _ASK[language][int(rng.integers(len(_ASK[language])))]
        value = a + b if op == "+" else a - b if op == "-" else a * b
        return Task(
            prompt=ask.format(q=f"{a}{op}{b}"),
            reference=str(value),
            language=language,
            metadata={"a": a, "op": op, "b": b},
        )

    def grade(self, task: Task, completion: str) -> Score:
        strict = strict_answer(completion)
        return verdict(
            strict,
            correct=same_answer(strict, task.reference),
            lenient=same_answer(last_number(completion), task.reference),
        )

    def reference_completion(self, task: Task) -> str:
        a, op, b = task.metadata["a"], task.metadata["op"], task.metadata["b"]
        assert isinstance(a, int)
        assert isinstance(b, int)
        language = task.language or "en"
        lines = (_multiply if op == "*" else _subtract if op == "-" else _add)(a, b, language)
        lines.append(f"{_WORDS[language]['so']}{task.reference}")
        return f"<think>{chr(10).join(lines)}</think><answer>{task.reference}</answer>"


def _operands(rng: np.random.Generator, difficulty: int) -> tuple[int, str, int]:
    if difficulty >= 4:
        digits = difficulty - 2
        return int(rng.integers(10 ** (digits - 1), 10**digits)), "*", int(rng.integers(2, 10))
    first, second = ((2, 1), (2, 2), (3, 3))[difficulty - 1]
    a = int(rng.integers(10 ** (first - 1), 10**first))
    b = int(rng.integers(10 ** (second - 1), 10**second))
    if rng.random() < 0.5:
        return a, "+", b
    return max(a, b), "-", min(a, b)


def _digits(n: int) -> list[int]:
    return [int(d) for d in reversed(str(n))]


def _columns(language: str, lines: list[str]) -> list[str]:
    names, colon = _COLUMNS[language], _WORDS[language]["colon"]
    return [f"{name}{colon}{line}" for name, line in zip(names, lines, strict=False)]


def _add(a: int, b: int, language: str) -> list[str]:
    lines: list[str] = []
    carry, y = 0, _digits(b)
    for i, digit in enumerate(_digits(a)):
        terms = [digit, *y[i : i + 1], *([carry] if carry else [])]
        total = sum(terms)
        line = f"{'+'.join(map(str, terms))}={total}"
        carry = total // 10
        if carry and i + 1 < len(_digits(a)):
            line += f"{_WORDS[language]['carry']}{carry}"
        lines.append(line)
    return _columns(language, lines)


def _subtract(a: int, b: int, language: str) -> list[str]:
    lines: list[str] = []
    borrow, y = 0, _digits(b)
    for i, digit in enumerate(_digits(a)):
        minus = [*y[i : i + 1], *([borrow] if borrow else [])]
        lend = 10 if digit < sum(minus) else 0
        line = f"{'-'.join(map(str, [digit + lend, *minus]))}={digit + lend - sum(minus)}"
        borrow = 1 if lend else 0
        if borrow:
            line += f"{_WORDS[language]['borrow']}1"
        lines.append(line)
    return _columns(language, lines)


def _multiply(a: int, b: int, language: str) -> list[str]:
    lines: list[str] = []
    carry, digits = 0, _digits(a)
    for i, digit in enumerate(digits):
        total = digit * b + carry
        line = f"{digit}*{b}{f'+{carry}' if carry else ''}={total}"
        carry = total // 10
        if carry and i + 1 < len(digits):
            line += f"{_WORDS[language]['carry']}{carry}"
        lines.append(line)
    return _columns(language, lines)
