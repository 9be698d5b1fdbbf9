"""Named random streams: every draw is a function of the run's seed and what the draw is for.

``rng(seed, "rollout", "zero", 12)`` and ``rng(seed, "rollout", "zero", 13)`` are independent,
whoever asks first. Nothing in Palestra draws from a global generator, so a run that is resumed,
or reads a config in another order, draws the same numbers.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    import numpy as np


def seed_sequence(seed: int, *names: str | int) -> np.random.SeedSequence:
    """Return the stream of `names` under `seed` (strings by CRC-32, integers as they are)."""
    import numpy as np

    key = tuple(crc32(n.encode()) if isinstance(n, str) else int(n) & 0xFFFFFFFF for n in names)
    return np.random.SeedSequence(entropy=seed, spawn_key=key)


def rng(seed: int, *names: str | int) -> np.random.Generator:
    """Return a NumPy generator for the stream of `names` under `seed`."""
    import numpy as np

    return np.random.default_rng(seed_sequence(seed, *names))


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit integer seed, for libraries that want one number."""
    return int(seed_sequence(seed, *names).generate_state(1, "uint64")[0]) >> 1


def stable_hash(text: str) -> str:
    """Return 16 hex digits of the SHA-256 of `text`: the same in every process."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
