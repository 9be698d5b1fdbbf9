"""The global random generators, lent to one game at a time."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np


class OwnRandom:
    """Global `random` and `numpy.random` as one game left them.

    Upstream games draw from the global generators, in `reset` and in `step`. A process plays many
    games by turns; so each gets the generators back in the state that it left them in, and what it
    draws depends on its seed and its moves alone.
    """

    def __init__(self, seed: int) -> None:
        before = _states()
        random.seed(seed)
        np.random.seed(seed % 2**32)
        self._ours = _states()
        _set(before)

    @contextmanager
    def lent(self) -> Generator[None]:
        """Have the game's generators in place for a block."""
        before = _states()
        _set(self._ours)
        try:
            yield
        finally:
            self._ours = _states()
            _set(before)


_States = tuple[tuple[object, ...], dict[str, object]]


def _states() -> _States:
    return random.getstate(), np.random.get_state(legacy=False)


def _set(states: _States) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
