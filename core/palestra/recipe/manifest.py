"""The manifest of a run: which stages are finished, what they left, and under which inputs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palestra.errors import DataError

if TYPE_CHECKING:
    from palestra.recipe.config import Recipe

_FILE = "manifest.json"


@dataclass(slots=True, kw_only=True)
class StageRecord:
    """What is known of one stage.

    Attributes:
        hash: of everything that decides what the stage computes.
        finished: whether it is.
        weights: the model folder (or hub id) that it ends with.
        data: the Parquet file that it made, if it makes one.
        steps: steps done.
        seconds: spent on it, over all sittings.
        peak_rss_mb: most memory of the process while it ran.
        evals: its final evaluation.
        facts: numbers for the report.
    """

    hash: str
    finished: bool = False
    weights: str = ""
    data: str | None = None
    steps: int = 0
    seconds: float = 0.0
    peak_rss_mb: int = 0
    evals: dict[str, Any] = field(default_factory=dict[str, Any])
    facts: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True, kw_only=True)
class Manifest:
    """The state of a run."""

    recipe: str
    seed: int
    started: str
    done: bool = False
    selected: list[str] = field(default_factory=list[str])
    stages: dict[str, StageRecord] = field(default_factory=dict[str, StageRecord])
    audit: list[dict[str, object]] = field(default_factory=list[dict[str, object]])

    @classmethod
    def begin(cls, recipe: Recipe) -> Manifest:
        """Return the manifest of a run that begins now."""
        return cls(
            recipe=recipe.name,
            seed=recipe.seed,
            started=datetime.now(UTC).isoformat(sep=" ", timespec="milliseconds"),
        )

    def write(self, folder: Path) -> None:
        """Write it into `folder`, whole or not at all."""
        temporary = folder / "manifest.tmp"
        try:
            temporary.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False))
            temporary.replace(folder / _FILE)
        except OSError:  # a folder with half a manifest could be neither begun in nor resumed
            temporary.unlink(missing_ok=True)
            raise


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest in `folder`, or None where there is none.

    Raises:
        DataError: it is there, but cannot be read.
    """
    file = folder / _FILE
    if not file.is_file():
        return None
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        stages = {name: StageRecord(**record) for name, record in raw.pop("stages").items()}
        return Manifest(stages=stages, **raw)
    except (ValueError, TypeError, KeyError) as exc:
        raise DataError(f"{file}: not a manifest of this version of Palestra: {exc}") from exc
