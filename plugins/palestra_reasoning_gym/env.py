"""`reasoning_gym/NAME-v1`: one dataset of reasoning-gym, with splits and a guarded scorer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

import numpy as np

from palestra.envs import Score, SingleTurnEnv, Task
from palestra.envs.answers import lenient_answer, strict_answer
from palestra.envs.score import Status
from palestra.errors import ConfigError, EnvironmentFailed, did_you_mean
from palestra_reasoning_gym.datasets import OFFERED, REFUSED
from palestra_reasoning_gym.guards import admits, own_verdict
from palestra_reasoning_gym.items import Items

MOST_TRIES = 20
"""Draws of an item before the dataset counts as broken: some fail to make one now and then."""


class ReasoningGymEnv(SingleTurnEnv):
    """A dataset of reasoning-gym.

    Its seeds are not the split: an item is drawn from the task's own generator, and its prompt
    decides where it belongs. ``accuracy`` is 1 where upstream's scorer pays in full and the guard
    of the dataset agrees; ``partial`` is what the scorer pays, and nothing to train on.

    Args:
        dataset: upstream's name of it.

    Raises:
        ConfigError: there is no such dataset, or the adapter refuses it.
    """

    def __init__(self, dataset: str) -> None:
        super().__init__()
        if dataset in REFUSED:
            raise ConfigError(f"reasoning_gym: '{dataset}' is refused: {REFUSED[dataset]}")
        if dataset not in OFFERED:
            raise ConfigError(
                f"reasoning_gym: no dataset '{dataset}'.{did_you_mean(dataset, OFFERED)}"
            )
        self._dataset = OFFERED[dataset]
        self._items = Items(dataset, fresh=self._dataset.fresh)
        self.difficulties = (1, max(1, len(self._dataset.levels)))

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw an item; one that upstream fails to make, or to answer, is drawn again."""
        level = self._dataset.levels[difficulty - 1] if self._dataset.levels else None
        why: Exception = ValueError("every answer was empty")
        for _ in range(MOST_TRIES):
            seed = int(rng.integers(2**31))
            try:
                entry = self._items.entry(level, seed)
                reference = self._reference(entry)
            except Exception as exc:
                why = exc
                continue
            if reference != "":  # a question that only silence answers
                return Task(
                    prompt=str(entry["question"]),
                    reference=reference,
                    metadata={"level": level, "seed": seed},
                )
        raise EnvironmentFailed(
            f"{self.env_id}: {MOST_TRIES} draws made no item: {type(why).__name__}: {why}"
        ) from why

    def grade(self, task: Task, completion: str) -> Score:
        """Judge the answer in the tags; ``lenient_accuracy`` judges the last one anywhere."""
        strict, lenient = strict_answer(completion), lenient_answer(completion)
        paid = self._paid(task, strict)
        elsewhere = paid if lenient == strict else self._paid(task, lenient)
        return Score(
            value=float(paid >= 1.0),
            components={
                "accuracy": float(paid >= 1.0),
                "lenient_accuracy": float(elsewhere >= 1.0),
                "partial": paid,
            },
            status=Status.UNPARSABLE if strict is None else Status.OK,
            reason="no <answer>…</answer> behind the thoughts" if strict is None else "",
            extracted=strict,
        )

    def _paid(self, task: Task, answer: str | None) -> float:
        """Return what the scorer pays, 0 to 1, or the adapter's own check in its place."""
        if not answer or not admits(self._dataset.guard, answer):
            return 0.0
        level, seed = task.metadata["level"], cast("int", task.metadata["seed"])
        entry = self._items.entry(cast("int | None", level), seed)
        own = own_verdict(self._dataset.guard, answer, entry)
        if own is not None:
            return float(own)
        paid = self._items.score(cast("int | None", level), answer, entry)
        return min(1.0, max(0.0, paid)) if paid == paid else 0.0  # NaN is not a payment

    def _reference(self, entry: Mapping[str, object]) -> str | None:
        """Return upstream's answer, or the field of its metadata that holds one."""
        field = self._dataset.reference
        if field is None:
            return None
        if not field:
            return str(entry["answer"])
        value = cast("Mapping[str, object]", entry["metadata"])[field]
        return value if isinstance(value, str) else json.dumps(value)
