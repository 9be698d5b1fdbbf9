"""Reading a run directory, finished or not.

Nothing here raises on what a run left behind: a file that is missing, cut short or damaged gives
less data and, where that is news, a notice for the top of the page.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from palestra.errors import ConfigError
from palestra.evaluation.claims import judge_claims
from palestra.evaluation.pooling import Json, record, records

_FOLDER = re.compile(r"(\d+)-(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageData:
    """What one stage left.

    Attributes:
        number: its place in the run, from 1.
        name: its name in the recipe.
        facts: its entry in ``results.json``; empty while the stage is unfinished.
        folder: its folder, where there is one.
        metrics: the rows of ``metrics.jsonl``.
        evals: the rows of ``evals.jsonl``: evaluations during training.
    """

    number: int
    name: str
    facts: Json
    folder: Path | None
    metrics: list[Json]
    evals: list[Json]

    @property
    def slug(self) -> str:
        """A name for files and anchors, of harmless characters only."""
        return f"{self.number:02d}-" + re.sub(r"[^A-Za-z0-9_-]+", "-", self.name)

    @property
    def finished(self) -> bool:
        """Whether ``results.json`` has the stage."""
        return bool(self.facts)

    def fact(self, key: str) -> str:
        """Return a fact as text, or an empty string."""
        value = self.facts.get(key)
        return "" if value is None else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunData:
    """What a run left: ``results.json``, ``manifest.json``, the recipe's text and the stages."""

    path: Path
    results: Json
    manifest: Json
    recipe: str
    stages: list[StageData]
    notices: list[str] = field(default_factory=list[str])

    @property
    def claims(self) -> list[Json]:
        """The run's claims; judged here where the run was cut off before its end."""
        if isinstance(self.results.get("claims"), list):
            return records(self.results.get("claims"))
        curves = {stage.name: stage.metrics for stage in self.stages}
        return list[Json](judge_claims(self.results.get("stages"), curves))


def load_run(run_dir: Path) -> RunData:
    """Read the run directory `run_dir`.

    Raises:
        ConfigError: there is no such folder.
    """
    if not run_dir.is_dir():
        raise ConfigError(f"{run_dir}: no such run folder. A run's folder holds its recipe.yaml.")
    notices: list[str] = []
    results = _read_object(run_dir / "results.json", notices)
    manifest = _read_object(run_dir / "manifest.json", notices)
    stages = _stages(run_dir, results, notices)
    waiting = [stage.name for stage in stages if not stage.finished]
    if not results:
        notices.append("No results yet: the run has finished no stage.")
    elif waiting:
        notices.append(f"Unfinished: {', '.join(waiting)}.")
    return RunData(
        path=run_dir,
        results=results,
        manifest=manifest,
        recipe=_read_text(run_dir / "recipe.yaml"),
        stages=stages,
        notices=notices,
    )


def _stages(run_dir: Path, results: Json, notices: list[str]) -> list[StageData]:
    """Return the stages of the results in order, then folders of stages that are not done."""
    folders = _stage_folders(run_dir)
    facts = {str(stage.get("name", "?")): stage for stage in records(results.get("stages"))}
    names = [*facts, *(name for name in folders if name not in facts)]
    stages: list[StageData] = []
    for place, name in enumerate(names, start=1):
        folder = folders.get(name)
        stages.append(
            StageData(
                number=place,
                name=name,
                facts=facts.get(name, {}),
                folder=folder,
                metrics=_read_rows(folder / "metrics.jsonl", notices) if folder else [],
                evals=_read_rows(folder / "evals.jsonl", notices) if folder else [],
            )
        )
    return stages


def _stage_folders(run_dir: Path) -> dict[str, Path]:
    """Return the folders ``stages/NN-name`` by name, in the order of their numbers."""
    root = run_dir / "stages"
    found = (
        [(_FOLDER.fullmatch(path.name), path) for path in root.iterdir()] if root.is_dir() else []
    )
    numbered = [(int(match[1]), match[2], path) for match, path in found if match and path.is_dir()]
    return {name: path for _, name, path in sorted(numbered)}


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _read_object(path: Path, notices: list[str]) -> Json:
    text = _read_text(path)
    if not text:
        return {}
    try:
        return record(cast(object, json.loads(text)))
    except (ValueError, RecursionError):
        notices.append(f"{path.name} is damaged and was left out.")
        return {}


def _read_rows(path: Path, notices: list[str]) -> list[Json]:
    """Read JSON lines; a last line that was cut short is what a killed run leaves."""
    rows: list[Json] = []
    lines = _read_text(path).split("\n")
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(record(cast(object, json.loads(line))))
        except (ValueError, RecursionError):
            if place < len(lines):
                notices.append(f"{path.parent.name}/{path.name}: line {place} is damaged.")
    return [row for row in rows if row]
