"""Drawing from a mixture: the n-th draw of a stage is a function of the run's seed and n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from palestra.mixture.sources import Source
from palestra.seeding import derive_seed, rng


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One prompt to roll out.

    Attributes:
        number: how many were drawn before it in this stage.
        source: index of its source.
        env_seed: what every member of its group resets the environment with.
        options: options of `reset`, beside the source's.
    """

    number: int
    source: int
    env_seed: int
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Mixture:
    """Weighted sources with a cursor; the cursor is all the state there is.

    Args:
        sources: where tasks come from.
        seed: the run's seed.
        stream: names this mixture's use (the stage), so that stages draw independently.
    """

    def __init__(self, sources: Sequence[Source], seed: int, stream: str) -> None:
        self.sources = sources
        self.cursor = 0
        self._seed = seed
        self._stream = stream
        weights = np.array([s.config.weight for s in sources], dtype=np.float64)
        self._shares = weights / weights.sum()

    def draw(self, count: int) -> list[Draw]:
        """Return the next `count` draws, and move the cursor."""
        drawn = [self._at(n) for n in range(self.cursor, self.cursor + count)]
        self.cursor += count
        return drawn

    def _at(self, number: int) -> Draw:
        chooser = rng(self._seed, "mixture", self._stream, number)
        return Draw(
            number=number,
            source=int(chooser.choice(len(self._shares), p=self._shares)),
            env_seed=derive_seed(self._seed, "task", self._stream, number),
        )

    def state_dict(self) -> dict[str, int]:
        """Return what a checkpoint needs."""
        return {"cursor": self.cursor}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state` was taken."""
        self.cursor = int(state["cursor"])
