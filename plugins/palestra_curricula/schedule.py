"""`schedule`: difficulty and weights that are fixed beforehand, by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator, model_validator

from palestra.config import ConfigModel, Difficulty
from palestra.mixture.config import SourceConfig
from palestra.mixture.curriculum import Curriculum


class Phase(ConfigModel):
    """What holds from one step on."""

    from_step: int = Field(ge=1)
    """First step of the phase, counted from 1."""

    difficulty: Difficulty = None
    """Level, or [lowest, highest], of every source that has a `difficulty`; the source's own where
    absent."""

    weights: list[Annotated[float, Field(ge=0.0)]] | None = None
    """One weight for each source, in the order of the mixture; the sources' own where absent."""

    @model_validator(mode="after")
    def _says_something(self) -> Phase:
        if self.difficulty is None and self.weights is None:
            raise ValueError("says nothing: give `difficulty`, `weights`, or both")
        if self.weights is not None and not any(self.weights):
            raise ValueError("every weight is 0, so there is nothing to draw")
        return self


class ScheduleConfig(Curriculum.Config):
    """Options of ``curriculum: {type: schedule}``."""

    phases: list[Phase] = Field(min_length=1)
    """What holds from which step; before the first, the sources' own settings do."""

    @field_validator("phases")
    @classmethod
    def _in_order(cls, value: list[Phase]) -> list[Phase]:
        steps = [phase.from_step for phase in value]
        if steps != sorted(set(steps)):
            raise ValueError(f"from_step should rise from phase to phase, not {steps}")
        return value


class Schedule(Curriculum):
    """A ladder written down beforehand; it has no state of its own."""

    Config = ScheduleConfig
    config: ScheduleConfig

    def __init__(self, config: ScheduleConfig, sources: Sequence[SourceConfig]) -> None:
        super().__init__(config, sources)
        for phase in config.phases:
            if phase.weights is not None and len(phase.weights) != len(sources):
                raise ValueError(
                    f"the phase from step {phase.from_step} has {len(phase.weights)} weights, "
                    f"and the mixture {len(sources)} sources"
                )

    def _phase(self, step: int) -> Phase | None:
        begun = [phase for phase in self.config.phases if phase.from_step <= step]
        return begun[-1] if begun else None

    def weights(self, step: int) -> Sequence[float] | None:
        phase = self._phase(step)
        return phase.weights if phase is not None else None

    def options(
        self, source: int, step: int, generator: np.random.Generator
    ) -> Mapping[str, object]:
        phase = self._phase(step)
        graded = self.sources[source].difficulty is not None
        if phase is None or phase.difficulty is None or not graded:
            return {}
        return {"difficulty": phase.difficulty}
