r"""Expressions: a small tree, and the parser that makes one of tokens.

The grammar is what answers are written in: LaTeX, calculators' notation, and their mixtures. What
it does not know (sums, integrals, limits) it refuses; nothing is ever evaluated by Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from palestra_math.limits import MAX_DEPTH, MAX_NODES, Unreadable
from palestra_math.tokens import Token


@dataclass(frozen=True, slots=True)
class Number:
    """A numeral; `places` is how many decimals it was written with, None where it is exact."""

    value: Fraction
    places: int | None = None


@dataclass(frozen=True, slots=True)
class Symbol:
    """A variable, or one of the constants ``pi``, ``e`` and ``i``."""

    name: str


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation: ``+ * / ^ neg sqrt root abs ! binom log``, or a function's name."""

    name: str
    args: tuple[Expr, ...]


Expr = Number | Symbol | Apply

FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "exp",
        "ln",
        "log",
        "lg",
        "abs",
        "sqrt",
        "floor",
        "ceil",
    ]
)
_ALIASES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "lg": "log"}
GREEK = frozenset(
    [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "varepsilon",
        "zeta",
        "eta",
        "theta",
        "vartheta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "rho",
        "sigma",
        "tau",
        "phi",
        "varphi",
        "chi",
        "psi",
        "omega",
        "Gamma",
        "Delta",
        "Theta",
        "Lambda",
        "Xi",
        "Sigma",
        "Phi",
        "Psi",
        "Omega",
    ]
)
CONSTANTS = frozenset(("pi", "e", "i"))
_WORDS = FUNCTIONS | GREEK | set(_ALIASES) | {"pi"}


def parse(tokens: Sequence[Token]) -> Expr:
    """Return the expression that `tokens` spell, all of them.

    Raises:
        Unreadable: they spell none, or one beyond the limits.
    """
    parser = _Parser([t for token in tokens for t in _letters(token)])
    tree = parser.sum()
    if parser.position < len(parser.tokens):
        raise Unreadable(
            f"'{parser.tokens[parser.position].text}' stands where an answer should end"
        )
    return tree


def _letters(token: Token) -> list[Token]:
    """Return ``x`` and ``y`` for ``xy``; a function's name stays whole."""
    if token.kind != "name" or token.text in _WORDS or not 1 < len(token.text) <= 3:
        return [token]
    return [Token("name", letter, spaced=token.spaced) for letter in token.text]


class _Parser:
    """Recursive descent; `depth` and `nodes` bound it."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.depth = 0
        self.nodes = 0
        self.in_bars = 0

    # -- tokens ---------------------------------------------------------------------------------

    def peek(self, ahead: int = 0) -> Token | None:
        at = self.position + ahead
        return self.tokens[at] if at < len(self.tokens) else None

    def at(self, *texts: str) -> bool:
        token = self.peek()
        return token is not None and token.kind in ("mark", "command") and token.text in texts

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise Unreadable("the answer breaks off")
        self.position += 1
        return token

    def expect(self, text: str) -> None:
        if not self.at(text):
            raise Unreadable(f"'{text}' is missing")
        self.position += 1

    def node(self, name: str, *args: Expr) -> Expr:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Unreadable(f"an expression of more than {MAX_NODES} operations")
        return Apply(name, args)

    # -- grammar --------------------------------------------------------------------------------

    def sum(self) -> Expr:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable(f"brackets more than {MAX_DEPTH} deep")
        tree = self.product()
        while self.at("+", "-"):
            sign = self.take().text
            term = self.product()
            tree = self.node("+", tree, term if sign == "+" else self.node("neg", term))
        self.depth -= 1
        return tree

    def product(self) -> Expr:
        if self.at("-"):
            self.take()
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise Unreadable("too many signs in a row")
            tree = self.node("neg", self.product())
            self.depth -= 1
            return tree
        if self.at("+"):
            self.take()
        tree = self.mixed() or self.power()
        while True:
            if self.at("*", "\\cdot", "/"):
                name = "/" if self.take().text == "/" else "*"
                tree = self.node(name, tree, self.signed_power())
            elif self.starts_factor():
                tree = self.node("*", tree, self.power())
            else:
                return tree

    def signed_power(self) -> Expr:
        if self.at("-"):
            self.take()
            return self.node("neg", self.power())
        return self.power()

    def starts_factor(self) -> bool:
        """Whether a product goes on without a sign: ``2x``, ``3(x+1)``, ``x y``; never ``2 3``."""
        token = self.peek()
        if token is None or token.kind == "number":
            return False
        if token.kind == "name":
            return True
        if token.kind == "mark":
            return token.text == "(" or (token.text == "|" and not self.in_bars)
        if token.kind != "command":
            return False
        name = token.text[1:]
        return name in _WORDS or name in ("frac", "sqrt", "binom", "dbinom", "infty")

    def mixed(self) -> Expr | None:
        r"""Read ``3\frac{1}{2}`` and ``3 1/2`` as three and a half."""
        whole, after = self.peek(), self.peek(1)
        if whole is None or whole.kind != "number" or whole.places is not None or after is None:
            return None
        if whole.value.denominator != 1:
            return None
        start = self.position
        if after.kind == "command" and after.text == "\\frac":
            self.position += 1
            fraction = self.power()
        elif after.kind == "number" and after.spaced and self.slash_follows():
            self.position += 1
            above = Number(self.take().value)
            self.take()
            fraction = self.node("/", above, Number(self.take().value))
        else:
            return None
        match fraction:
            case Apply("/", (Number(above, None), Number(below, None))) if 0 < above < below:
                return Number(whole.value + above / below)
            case _:
                self.position = start
                return None

    def slash_follows(self) -> bool:
        slash, below = self.peek(2), self.peek(3)
        return (
            slash is not None and slash.text == "/" and below is not None and below.kind == "number"
        )

    def power(self) -> Expr:
        tree = self.postfix(self.atom())
        if self.at("^", "**"):
            self.take()
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise Unreadable("a tower of powers")
            tree = self.node("^", tree, self.exponent())
            self.depth -= 1
        return tree

    def exponent(self) -> Expr:
        if self.at("{"):
            return self.braced()
        sign = self.at("-") and self.take()
        tree = self.power()
        return self.node("neg", tree) if sign else tree

    def postfix(self, tree: Expr) -> Expr:
        while self.at("!"):
            self.take()
            tree = self.node("!", tree)
        following = self.peek(1)
        if self.at("^") and following is not None and following.text == "\\circ":
            self.position += 2
            tree = self.node("degree", tree)
        return tree

    def braced(self) -> Expr:
        r"""Read ``{...}``, or the one character that LaTeX takes without braces."""
        if self.at("{"):
            self.take()
            tree = self.sum()
            self.expect("}")
            return tree
        token = self.peek()
        if token is not None and token.kind == "number" and len(token.text) > 1:
            raise Unreadable("an argument without braces")
        return self.atom()

    def atom(self) -> Expr:
        token = self.take()
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Unreadable(f"an expression of more than {MAX_NODES} operations")
        if token.kind == "number":
            return Number(token.value, token.places)
        if token.kind == "name":
            return self.name(token.text)
        if token.kind == "command":
            return self.command(token.text[1:])
        if token.kind == "mark" and token.text in ("(", "[", "{"):
            tree = self.sum()
            self.expect({"(": ")", "[": "]", "{": "}"}[token.text])
            return tree
        if token.kind == "mark" and token.text == "|":
            self.in_bars += 1
            tree = self.sum()
            self.expect("|")
            self.in_bars -= 1
            return self.node("abs", tree)
        raise Unreadable(f"'{token.text}' is no part of an expression that the grader knows")

    def name(self, word: str) -> Expr:
        word = _ALIASES.get(word, word)
        if word in FUNCTIONS:
            return self.function(word)
        if word == "infinity":
            return Symbol("oo")
        if word in GREEK or word == "pi":
            return Symbol(word)
        if len(word) > 1 or not word.isascii():
            raise Unreadable(f"the word '{word}'")
        return self.subscripted(word)

    def subscripted(self, name: str) -> Symbol:
        token = self.peek()
        if token is None or token.kind != "under":
            return Symbol(name)
        self.take()
        braces = self.at("{") and self.take()
        index = self.take().text
        if braces:
            self.expect("}")
        return Symbol(f"{name}_{index}")

    def command(self, name: str) -> Expr:
        if name == "frac":
            return self.node("/", self.braced_digit(), self.braced_digit())
        if name in ("binom", "dbinom"):
            return self.node("binom", self.braced_digit(), self.braced_digit())
        if name == "sqrt":
            if self.at("["):
                self.take()
                index = self.sum()
                self.expect("]")
                return self.node("root", self.braced(), index)
            return self.node("sqrt", self.braced())
        name = _ALIASES.get(name, name)
        if name in FUNCTIONS:
            return self.function(name)
        if name in GREEK or name == "pi":
            return self.subscripted(name)
        if name == "infty":
            return Symbol("oo")
        raise Unreadable(f"'\\{name}' is no command that the grader knows")

    def braced_digit(self) -> Expr:
        r"""Read an argument of ``\frac``; ``\frac12`` is a half."""
        token = self.peek()
        if token is None or token.kind != "number" or token.text == "" or token.places is not None:
            return self.braced()
        if len(token.text) == 2 and token.text.isdigit():  # \frac12: two arguments, one numeral
            first, second = token.text
            rest = Token("number", second, Fraction(int(second)))
            self.tokens = [*self.tokens[: self.position], rest, *self.tokens[self.position + 1 :]]
            return Number(Fraction(int(first)))
        return self.braced()

    def function(self, name: str) -> Expr:
        base: Expr | None = None
        power: Expr | None = None
        token = self.peek()
        if name == "log" and token is not None and token.kind == "under":
            self.take()
            base = self.braced()
        if self.at("^"):
            self.take()
            power = self.exponent()
            if name in ("sin", "cos", "tan") and power == Apply("neg", (Number(Fraction(1)),)):
                name, power = f"arc{name}", None
        if self.at("(", "{", "["):
            argument = self.atom()
        else:  # \sin 2x, \log 10: the product that follows
            argument = self.power()
            while self.starts_factor() and not self.at("(") and not self.function_follows():
                argument = self.node("*", argument, self.power())
        if name == "exp":
            return self.node("^", Symbol("e"), argument)
        tree = self.node(name, argument) if base is None else self.node("log", argument, base)
        return tree if power is None else self.node("^", tree, power)

    def function_follows(self) -> bool:
        token = self.peek()
        return token is not None and token.text.lstrip("\\") in FUNCTIONS


def symbols(tree: Expr) -> frozenset[str]:
    """Return the variables of an expression."""
    match tree:
        case Number():
            return frozenset()
        case Symbol(name):
            return frozenset() if name in CONSTANTS or name == "oo" else frozenset((name,))
        case Apply(_, args):
            return frozenset().union(*map(symbols, args))
