"""Which source each prompt of a step comes from: quotas first, weights share the rest, floors hold.

A mixture with weights alone draws each prompt by itself, so how draws are grouped does not matter.
Quotas and floors are promises about a whole step, so there the step's prompts are dealt together.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from palestra.errors import ConfigError
from palestra.mixture.config import SourceConfig
from palestra.seeding import rng

_WHOLE = 1e-9  # 0.1 x 30 is a little above 3, and means 3


class Composer:
    """Deals the prompts of a step to the sources.

    Args:
        sources: the mixture's.
        seed: the run's seed.
        stream: names the mixture's use (the stage).
    """

    def __init__(self, sources: Sequence[SourceConfig], seed: int, stream: str) -> None:
        self._quotas = [source.quota or 0 for source in sources]
        self._floors = [source.floor for source in sources]
        self._seed, self._stream = seed, stream

    @property
    def binds(self) -> bool:
        """Whether a quota or a floor ties the prompts of a step together."""
        return any(self._quotas) or any(self._floors)

    def deal(self, start: int, count: int, weights: Sequence[float]) -> list[int]:
        """Return the source of each of the draws `start` to ``start + count - 1``.

        Args:
            start: number of the first draw.
            count: prompts of the step.
            weights: one for each source.
        """
        dealt = self._by_weight(start, count, weights)
        if not self.binds:
            return dealt
        order = rng(self._seed, "quotas", self._stream, start).permutation(count).tolist()
        fixed = [i for i, quota in enumerate(self._quotas) for _ in range(quota)]
        for place, source in zip(order, fixed, strict=False):
            dealt[place] = source
        self._hold_floors(dealt, order[len(fixed) :])
        return dealt

    def _by_weight(self, start: int, count: int, weights: Sequence[float]) -> list[int]:
        shares = np.array(weights, dtype=np.float64)
        if shares.sum() == 0:  # quotas alone
            if sum(self._quotas) < count:
                raise ConfigError(
                    f"the quotas make {sum(self._quotas)} of {count} prompts, and no source has a "
                    "weight to share the rest"
                )
            return [0] * count
        shares /= shares.sum()
        choosers = (rng(self._seed, "mixture", self._stream, start + i) for i in range(count))
        return [int(chooser.choice(len(shares), p=shares)) for chooser in choosers]

    def _hold_floors(self, dealt: list[int], free: Sequence[int]) -> None:
        """Give prompts of the other sources, whichever come first, to those below their floor.

        Args:
            dealt: the source of each prompt.
            free: places that no quota holds, in a random order: so the others keep their ratio.
        """
        least = [ceil(floor * len(dealt) - _WHOLE) for floor in self._floors]
        have = [dealt.count(i) for i in range(len(least))]
        for source, wanted in enumerate(least):
            for place in free:
                donor = dealt[place]
                if have[source] < wanted and have[donor] > least[donor]:
                    dealt[place] = source
                    have[donor] -= 1
                    have[source] += 1


def asked(
    sources: Sequence[SourceConfig], count: int, weights: Sequence[float] | None = None
) -> list[float]:
    """Return how many of a step's `count` prompts each source is to give, on average.

    Args:
        sources: the mixture's.
        count: prompts of the step.
        weights: a curriculum's, instead of the sources' own.
    """
    own = [source.weight for source in sources] if weights is None else list(weights)
    given = [float(source.quota or 0) for source in sources]
    rest = count - sum(given)
    held: set[int] = set()
    while True:
        total = sum(w for i, w in enumerate(own) if i not in held)
        left = rest - sum(given[i] for i in held)
        shares = [left * w / total if total else 0.0 for w in own]
        low = {
            i
            for i, source in enumerate(sources)
            if i not in held and source.quota is None and shares[i] < source.floor * count - _WHOLE
        }
        if not low:
            break
        for i in low:
            given[i] = float(ceil(sources[i].floor * count - _WHOLE))
        held |= low
    return [
        given[i] if i in held or source.quota is not None else shares[i]
        for i, source in enumerate(sources)
    ]


def why_not(sources: Sequence[SourceConfig], count: int) -> str | None:
    """Return why `count` prompts cannot be dealt to the sources, or None where they can."""
    quotas = sum(source.quota or 0 for source in sources)
    floors = sum(ceil(source.floor * count - _WHOLE) for source in sources)
    if quotas > count:
        return f"the quotas ask for {quotas} prompts"
    if quotas + floors > count:
        return f"quotas ({quotas}) and floors ({floors}, rounded up) ask for {quotas + floors}"
    if quotas < count and not any(source.weight for source in sources):
        return f"the quotas make {quotas} prompts, and no source has a weight to share the rest"
    return None
