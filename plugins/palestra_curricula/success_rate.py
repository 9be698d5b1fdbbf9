"""`success_rate`: moves difficulty so that prompts stay between too easy and too hard.

A prompt that every member of a group solves, or none does, teaches nothing: its advantages are
zero. DAPO (arXiv 2503.14476) throws such groups away; this asks for fewer of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor
from typing import Any

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from palestra.mixture.config import SourceConfig, labels
from palestra.mixture.curriculum import Curriculum, Outcome


class SuccessRateConfig(Curriculum.Config):
    """Options of ``curriculum: {type: success_rate}``."""

    low: float = Field(default=0.2, ge=0.0, le=1.0)
    """Success rate below which tasks become easier."""

    high: float = Field(default=0.8, ge=0.0, le=1.0, validate_default=True)
    """Success rate above which tasks become harder."""

    component: str = "accuracy"
    """The reward component that says success, from 0 to 1."""

    prompts: int = Field(default=16, ge=1)
    """Prompts of a source that are judged together, before its level may move."""

    move: float = Field(default=0.25, gt=0.0)
    """How far a level moves. Between two levels, both are drawn: at 1.25 a quarter is level 2."""

    @field_validator("high")
    @classmethod
    def _above_low(cls, value: float, info: ValidationInfo) -> float:
        low = info.data.get("low")
        if low is not None and value <= low:
            raise ValueError(f"should be above `low`, {low:g}, not {value:g}")
        return value


class SuccessRate(Curriculum):
    """Holds each source whose `difficulty` is a range at the level its success rate asks for.

    A source begins at its lowest level. One without a range stays as it is.
    """

    Config = SuccessRateConfig
    config: SuccessRateConfig

    def __init__(self, config: SuccessRateConfig, sources: Sequence[SourceConfig]) -> None:
        super().__init__(config, sources)
        self._ranges = {
            i: source.difficulty
            for i, source in enumerate(sources)
            if isinstance(source.difficulty, tuple) and source.difficulty[0] < source.difficulty[1]
        }
        if not self._ranges:
            raise ValueError(
                "no source has a range to move in; give one `difficulty: [lowest, highest]`"
            )
        self._levels = {i: float(low) for i, (low, _) in self._ranges.items()}
        self._seen: dict[int, list[float]] = {i: [] for i in self._ranges}

    def options(
        self, source: int, step: int, generator: np.random.Generator
    ) -> Mapping[str, object]:
        if source not in self._levels:
            return {}
        level = self._levels[source]
        whole = floor(level)
        return {"difficulty": whole + int(generator.random() < level - whole)}

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.source in self._seen and outcome.components:
                self._seen[outcome.source].append(self._success(outcome))
        for source, seen in self._seen.items():
            if len(seen) < self.config.prompts:
                continue
            rate = sum(seen) / len(seen)
            way = (rate > self.config.high) - (rate < self.config.low)
            low, high = self._ranges[source]
            moved = self._levels[source] + way * self.config.move
            self._levels[source] = min(float(high), max(float(low), moved))
            seen.clear()

    def _success(self, outcome: Outcome) -> float:
        name = self.config.component
        values = [scores[name] for scores in outcome.components if name in scores]
        if not values:
            offered = ", ".join(sorted({n for scores in outcome.components for n in scores}))
            raise ValueError(f"no component '{name}' in task {outcome.task_id}; it has: {offered}")
        return sum(values) / len(values)

    def metrics(self) -> Mapping[str, float]:
        names = labels(list(self.sources))
        return {f"level/{names[i]}": level for i, level in self._levels.items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "levels": {str(i): level for i, level in self._levels.items()},
            "seen": {str(i): list(seen) for i, seen in self._seen.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._levels = {int(i): float(level) for i, level in state["levels"].items()}
        self._seen = {int(i): [float(s) for s in seen] for i, seen in state["seen"].items()}
