"""`TextSpace`: any Unicode string up to a length, as a Gymnasium space."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

_SAMPLE_ALPHABET = np.array(list("abcdefghijklmnopqrstuvwxyz 0123456789+-=?."))


class TextSpace(gymnasium.Space[str]):
    """The set of all strings of at most `max_length` characters.

    `gymnasium.spaces.Text` checks membership by a character set: its default rejects the space
    and the empty string, and a set of all Unicode takes seconds to build. Here the length alone
    decides.
    """

    def __init__(self, max_length: int = 1_000_000, seed: int | np.random.Generator | None = None):
        self.max_length = max_length
        super().__init__(dtype=str, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        length = int(self.np_random.integers(0, min(self.max_length, 40) + 1))
        return "".join(self.np_random.choice(_SAMPLE_ALPHABET, size=length))

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= self.max_length

    def __repr__(self) -> str:
        return f"TextSpace({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextSpace) and other.max_length == self.max_length

    def __hash__(self) -> int:
        return hash(("TextSpace", self.max_length))
