"""Reading what `record` wrote: the rollouts of a run's stages, step by step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from palestra.errors import ConfigError, DataError, did_you_mean

Row = dict[str, Any]
"""A recorded trajectory, by column."""

_FOLDER = re.compile(r"\d+-(.+)")
_FILE = re.compile(r"step-(\d+)\.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedStage:
    """A stage that left rollouts.

    Attributes:
        name: its name in the recipe.
        folder: ``stages/NN-name`` of the run.
        steps: the file of each recorded step, in order.
    """

    name: str
    folder: Path
    steps: dict[int, Path]

    def file(self, step: int) -> Path:
        """Return the file of a step.

        Raises:
            ConfigError: there is none.
        """
        if step not in self.steps:
            first, last = min(self.steps), max(self.steps)
            raise ConfigError(
                f"{self.folder}: no rollouts of step {step}; there are {len(self.steps)} steps, "
                f"{first} to {last}"
            )
        return self.steps[step]


def recorded_stages(run: Path) -> list[RecordedStage]:
    """Return the stages of the run in the folder `run` that have rollouts, in their order.

    Raises:
        ConfigError: no such folder, no run in it, or no rollouts.
    """
    if not run.is_dir():
        raise ConfigError(f"{run}: no such run folder. A run's folder holds its recipe.yaml")
    if not (run / "recipe.yaml").is_file():
        raise ConfigError(f"{run} holds no run: it has no recipe.yaml")
    found: list[RecordedStage] = []
    for folder in sorted((run / "stages").glob("*")):
        match = _FOLDER.fullmatch(folder.name)
        steps = _steps(folder / "rollouts") if match else {}
        if match and steps:
            found.append(RecordedStage(name=match[1], folder=folder, steps=steps))
    if not found:
        raise ConfigError(f"{run} has no rollouts yet: only steps of rl stages leave some")
    return found


def find_stage(run: Path, name: str | None) -> RecordedStage:
    """Return the stage `name`, or the last one that has rollouts.

    Raises:
        ConfigError: no such stage, or no rollouts.
    """
    stages = recorded_stages(run)
    if name is None:
        return stages[-1]
    for stage in stages:
        if stage.name == name:
            return stage
    names = [stage.name for stage in stages]
    raise ConfigError(
        f"{run}: no rollouts of a stage '{name}'.{did_you_mean(name, names)} "
        f"Stages with rollouts: {', '.join(names)}"
    )


def _steps(folder: Path) -> dict[int, Path]:
    matches = [(_FILE.fullmatch(file.name), file) for file in folder.glob("step-*.parquet")]
    return dict(sorted((int(match[1]), file) for match, file in matches if match))


def read_step(file: Path, columns: Sequence[str] | None = None) -> list[Row]:
    """Return the trajectories of one step, in the order they were written.

    Args:
        file: the step's Parquet file.
        columns: read no others; one that an older version did not write is left out.

    Raises:
        DataError: the file is damaged or no record of rollouts.
    """
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    try:
        with pq.ParquetFile(file) as opened:
            there = cast("list[str]", opened.schema_arrow.names)
            if missing := {"group", "member", "reward"} - {*there}:
                raise DataError(f"{file}: no record of rollouts: no column '{min(missing)}'")
            wanted = there if columns is None else [name for name in columns if name in there]
            return cast("list[Row]", opened.read(columns=wanted).to_pylist())
    except (ArrowException, OSError, UnicodeDecodeError) as exc:
        why = " ".join(str(exc).split())
        raise DataError(f"{file}: cannot be read: {why}") from exc


def by_group(rows: Sequence[Row]) -> dict[int, list[Row]]:
    """Return the members of each group, groups by number and members by theirs."""
    groups: dict[int, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row["group"], row["member"])):
        groups.setdefault(row["group"], []).append(row)
    return groups
