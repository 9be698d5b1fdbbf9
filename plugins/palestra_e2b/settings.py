"""`Settings`: what a user decides about machines in the cloud."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self

from palestra.errors import ConfigError

TEMPLATE = "code-interpreter-v1"
"""The image of E2B's code interpreter: Python, with a Jupyter kernel."""

KEYS = "https://e2b.dev/dashboard?tab=keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How many machines there may be, of what kind, and what they cost.

    Attributes:
        template: the image of a machine; it has to have ``python3`` and a code interpreter.
        machines: most machines of one process at once.
        price: dollars that one machine costs an hour. The default is E2B's list price of a machine
            of 2 cores and half a GiB.
        lifetime_s: a machine ends by itself so long after it was last used.
        patience_s: so long a program waits for a machine, through refusals and failures.
    """

    template: str = TEMPLATE
    machines: int = 4
    price: float = 0.109
    lifetime_s: int = 180
    patience_s: float = 120.0

    @classmethod
    def from_environment(cls) -> Self:
        """Read ``PALESTRA_E2B_TEMPLATE``, ``PALESTRA_E2B_MACHINES`` and ``PALESTRA_E2B_PRICE``.

        Raises:
            ConfigError: a value is none, or there is no ``E2B_API_KEY``.
        """
        if not os.environ.get("E2B_API_KEY"):
            raise ConfigError(
                f"sandbox 'e2b': E2B_API_KEY is not set. Make a key at {KEYS} and export it, "
                "or use sandbox 'local'"
            )
        return cls(
            template=os.environ.get("PALESTRA_E2B_TEMPLATE") or TEMPLATE,
            machines=int(_number("PALESTRA_E2B_MACHINES", cls().machines, least=1)),
            price=_number("PALESTRA_E2B_PRICE", cls().price, least=0),
        )


def _number(variable: str, default: float, least: int) -> float:
    text = os.environ.get(variable) or str(default)
    kind = int if isinstance(default, int) else float
    try:
        value = kind(text)
    except ValueError:
        value = -1
    if not least <= value < float("inf"):
        what = "a whole number" if kind is int else "a number"
        raise ConfigError(f"sandbox 'e2b': {variable}={text}: not {what} of at least {least}")
    return value
