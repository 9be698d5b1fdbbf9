"""Items of one dataset: each a pure function of its level and its seed."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

Entry = Mapping[str, Any]


class Items:
    """Makes and scores the items of one dataset.

    Making a dataset can take a second (some read a file), making an item a millisecond. So a
    dataset is made once a level and given another seed for each item, except where its
    constructor draws from the seed.

    Args:
        name: upstream's name of the dataset.
        fresh: whether its constructor draws from the seed.
    """

    def __init__(self, name: str, *, fresh: bool) -> None:
        self._name = name
        self._fresh = fresh
        self.made = lru_cache(maxsize=None)(self._made)
        self.entry = lru_cache(maxsize=1024)(self._entry)

    def score(self, level: int | None, answer: str, entry: Entry) -> float:
        """Return what upstream's scorer pays for an answer."""
        return float(self.made(level).score_answer(answer, entry))

    def _entry(self, level: int | None, seed: int) -> Entry:
        dataset = self._made(level, seed) if self._fresh else self._reseeded(level, seed)
        return dataset[0]

    def _reseeded(self, level: int | None, seed: int) -> Any:
        dataset = copy.copy(self.made(level))
        dataset.config = copy.copy(dataset.config)
        dataset.seed = dataset.config.seed = seed
        return dataset

    def _made(self, level: int | None, seed: int = 0) -> Any:
        """Make the dataset of a level of upstream's curriculum, or of its defaults."""
        upstream: Any = importlib.import_module("reasoning_gym.factory")
        if level is None:
            return upstream.create_dataset(self._name, seed=seed, size=1)
        curriculum = upstream.create_curriculum(self._name)
        curriculum.set_global_level(level)
        config = curriculum.generate_configuration(defaults={"seed": seed, "size": 1})
        return upstream.DATASETS[self._name][0](config)
