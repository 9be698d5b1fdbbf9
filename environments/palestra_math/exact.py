"""Values of expressions: exactly where they are rational, else to sixty digits.

Two expressions are the same where they agree at points that nobody could choose beforehand (they
come from a hash of both). For rational functions the values are exact fractions, so a disagreement
is a proof and an agreement at eight points as good as one; for roots, logarithms and the like they
are compared to fifty digits. That is bounded work, which no simplifier promises.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from palestra.errors import ConfigError
from palestra_math.expression import Apply, Expr, Number, Symbol
from palestra_math.limits import MAX_DIGITS

_MAX_BITS = MAX_DIGITS * 10 // 3
_DIGITS = 60
_MAX_LOG = 900.0
_local = threading.local()

Point = Mapping[str, Fraction]


class NotRational(Exception):
    """The expression has no rational value at this point, or not one that is worked out exactly."""


class Undefined(Exception):
    """The expression has no value at this point: a division by zero, a number beyond the limits."""


def rational(tree: Expr, point: Point | None = None) -> Fraction:
    """Return the exact value of an expression.

    Args:
        tree: the expression.
        point: a value for each variable.

    Raises:
        NotRational: it holds an irrational function.
        Undefined: it has no value there, or one beyond the limits.
    """
    match tree:
        case Number(value):
            return value
        case Symbol(name):
            if point is None or name not in point:
                raise NotRational
            return point[name]
        case Apply(name, args):
            return _bounded(_apply(name, [rational(a, point) for a in args]))


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
        raise Undefined("a number beyond the limits")
    return value


def _apply(name: str, args: list[Fraction]) -> Fraction:
    match name, args:
        case "+", [a, b]:
            return a + b
        case "*", [a, b]:
            return a * b
        case "neg", [a]:
            return -a
        case "/", [a, b]:
            if b == 0:
                raise Undefined("a division by zero")
            return a / b
        case "^", [a, b]:
            return _power(a, b)
        case "abs", [a]:
            return abs(a)
        case "floor", [a]:
            return Fraction(math.floor(a))
        case "ceil", [a]:
            return Fraction(math.ceil(a))
        case "sqrt", [a]:
            return _root(a, 2)
        case "root", [a, b] if b.denominator == 1 and 2 <= b <= 64:
            return _root(a, int(b))
        case "!", [a]:
            if a.denominator != 1 or not 0 <= a <= 170:
                raise Undefined("a factorial beyond the limits")
            return Fraction(math.factorial(int(a)))
        case "binom", [a, b]:
            if a.denominator != 1 or b.denominator != 1 or not 0 <= b <= a <= 1000:
                raise Undefined("a binomial coefficient beyond the limits")
            return Fraction(math.comb(int(a), int(b)))
        case _:
            raise NotRational


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        if exponent.denominator > 64:
            raise NotRational
        return _power(_root(base, exponent.denominator), Fraction(exponent.numerator))
    power = int(exponent)
    if base == 0:
        if power <= 0:
            raise Undefined("a power of zero")
        return base
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if base not in (1, -1) and abs(power) * max(bits - 1, 1) > _MAX_BITS:
        raise Undefined("a power beyond the limits")
    return base ** (power if base not in (1, -1) else power % 2)


def _root(value: Fraction, index: int) -> Fraction:
    if value < 0:
        if index % 2 == 0:
            raise NotRational
        return -_root(-value, index)
    above, below = _integer_root(value.numerator, index), _integer_root(value.denominator, index)
    if above is None or below is None:
        raise NotRational
    return Fraction(above, below)


def _integer_root(n: int, index: int) -> int | None:
    """Return the exact root by bisection, or None."""
    low, high = 0, 1 << (n.bit_length() // index + 1)
    while low < high:
        middle = (low + high + 1) // 2
        if middle**index <= n:
            low = middle
        else:
            high = middle - 1
    return low if low**index == n else None


# -- sixty digits -------------------------------------------------------------------------------


def numeric(tree: Expr, point: Point | None = None) -> Any:
    """Return the value of an expression as an `mpmath` complex number of sixty digits.

    Raises:
        Undefined: it has no finite value there.
        ConfigError: mpmath is not installed.
    """
    mp = _context()
    try:
        value = _numeric(tree, point or {}, mp)
    except NotRational as exc:  # a factorial of something irrational
        raise Undefined("no value that the grader knows") from exc
    except (ZeroDivisionError, ValueError, OverflowError, mp.NoConvergence) as exc:
        raise Undefined(str(exc)) from exc
    if not mp.isfinite(value):
        raise Undefined("no finite value")
    return value


def close(a: Any, b: Any) -> bool:
    """Whether two results of `numeric` agree to fifty digits."""
    mp = _context()
    return bool(abs(a - b) <= mp.mpf(10) ** -50 * max(abs(a), abs(b), mp.mpf(10) ** -5))


def is_real(value: Any) -> bool:
    """Whether a result of `numeric` is real."""
    mp = _context()
    return bool(abs(mp.im(value)) <= mp.mpf(10) ** -50 * max(1, abs(value)))


def _context() -> Any:
    """Return this thread's own mpmath context: the shared one's precision is global state."""
    if not hasattr(_local, "mp"):
        try:
            import mpmath  # pyright: ignore[reportMissingTypeStubs]
        except ImportError as exc:
            raise ConfigError(
                "roots, logarithms and other irrational answers need mpmath: "
                "pip install 'palestra[math]'"
            ) from exc
        _local.mp = mpmath.MPContext()
        _local.mp.dps = _DIGITS
    return _local.mp


def _numeric(tree: Expr, point: Point, mp: Any) -> Any:
    match tree:
        case Number(value):
            return mp.mpf(value.numerator) / value.denominator
        case Symbol("pi"):
            return mp.pi()
        case Symbol("e"):
            return mp.e()
        case Symbol("i"):
            return mp.mpc(0, 1)
        case Symbol(name):
            if name not in point:
                raise Undefined(f"no value for {name}")
            value = point[name]
            return mp.mpf(value.numerator) / value.denominator
        case Apply(name, args):
            if name in ("!", "binom"):
                value = _apply(name, [rational(a, point) for a in args])
                return mp.mpf(value.numerator) / value.denominator
            result = _function(name, [_numeric(a, point, mp) for a in args], mp)
            if not mp.isfinite(result) or (result != 0 and abs(mp.mag(result)) > 2 * _MAX_BITS):
                raise Undefined("a number beyond the limits")
            return result


def _function(name: str, args: list[Any], mp: Any) -> Any:
    a, *rest = args
    match name:
        case "+":
            return a + rest[0]
        case "*":
            return a * rest[0]
        case "/":
            return a / rest[0]
        case "neg":
            return -a
        case "degree":
            return a * mp.pi / 180
        case "^":
            return _numeric_power(a, rest[0], mp)
        case "root":
            if mp.im(a) == 0 and mp.re(a) < 0 and mp.im(rest[0]) == 0 and rest[0] % 2 == 1:
                return -mp.power(-a, 1 / rest[0])
            return mp.power(a, 1 / rest[0])
        case "exp":
            return _numeric_power(mp.e(), a, mp)
        case "ln":
            return mp.log(a)
        case "log":  # without a base: of 10 at school, e in analysis; the reference has the same
            return mp.log(a) / mp.log(rest[0] if rest else 10)
        case "abs":
            return abs(a)
        case "floor" | "ceil" if is_real(a):
            return getattr(mp, name)(mp.re(a))
        case "sqrt":
            return mp.sqrt(a)
        case "sinh" | "cosh" | "tanh" if abs(a) > _MAX_LOG:
            raise Undefined("a number beyond the limits")
        case "sin" | "cos" | "tan" | "cot" | "sec" | "csc" if abs(mp.im(a)) > _MAX_LOG:
            raise Undefined("a number beyond the limits")
        case "arcsin" | "arccos" | "arctan":
            return getattr(mp, f"a{name[3:]}")(a)
        case "sin" | "cos" | "tan" | "cot" | "sec" | "csc" | "sinh" | "cosh" | "tanh":
            return getattr(mp, name)(a)
        case _:
            raise Undefined(f"no value for {name}")


def _numeric_power(base: Any, exponent: Any, mp: Any) -> Any:
    if base == 0:
        if mp.re(exponent) <= 0:
            raise Undefined("a power of zero")
        return mp.mpf(0)
    if abs(exponent) * (abs(mp.log(base)) + 1) > _MAX_LOG:
        raise Undefined("a power beyond the limits")
    return mp.power(base, exponent)
