"""Checkpoints: written whole or not at all, checked before they are trusted.

A checkpoint is a folder ``step-000020``. It is written beside its place, every file hashed and
flushed, then renamed into it; a process that dies half-way leaves a hidden folder that is swept
away, never half a checkpoint.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

from palestra.errors import CheckpointError, TrainingError

_LOG = logging.getLogger("palestra")
_SUMS = "checksums.json"


class Checkpoints:
    """The checkpoints of one stage.

    Args:
        folder: where they lie.
        keep_last: how many of the last ones to keep.
    """

    def __init__(self, folder: Path, keep_last: int = 2) -> None:
        self.folder = folder
        self.keep_last = keep_last

    def save(self, step: int, write: Callable[[Path], None], metric: float | None = None) -> Path:
        """Let `write` fill a folder, and make it the checkpoint of `step`.

        Args:
            step: steps done.
            write: gets an empty folder.
            metric: higher is better; the best checkpoint outlives `keep_last`.

        Raises:
            TrainingError: the disk is full or the folder cannot be written; what was there stays.
        """
        place = self.folder / f"step-{step:06d}"
        temporary = self.folder / f".{place.name}.tmp"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            temporary.mkdir()
            write(temporary)
            (temporary / _SUMS).write_text(json.dumps(_checksums(temporary), indent=1))
            _flush(temporary)
            if place.exists():
                shutil.rmtree(place)
            temporary.rename(place)
            _flush_folder(self.folder)
            self._note_best(step, metric)
            self._prune(step)
        except Exception as exc:
            full = _is_full(exc, self.folder)
            shutil.rmtree(temporary, ignore_errors=True)
            if full or _is_write_error(exc):
                raise _cannot_write(place, exc, full) from exc
            raise
        return place

    def latest(self) -> Path | None:
        """Return the newest checkpoint that passes its checksums; warn of those that do not.

        Raises:
            CheckpointError: there are checkpoints, but none is sound.
        """
        damaged: list[str] = []
        for place in reversed(self.all()):
            problem = verify(place)
            if problem is None:
                return place
            damaged.append(f"{place.name}: {problem}")
            _LOG.warning(
                "checkpoint %s is damaged (%s): going on from the one before", place, problem
            )
        if damaged:
            raise CheckpointError(
                f"no sound checkpoint in {self.folder} ({'; '.join(damaged)}). "
                "Remove the folder to begin this stage anew"
            )
        return None

    def all(self) -> list[Path]:
        """Return the folders of all checkpoints, oldest first."""
        return sorted((p for p in self.folder.glob("step-*") if p.is_dir()), key=_step)

    def best(self) -> Path | None:
        """Return the checkpoint with the best metric, where one was given."""
        noted = self._noted_best()
        if noted is None:
            return None
        place = self.folder / f"step-{noted[0]:06d}"
        return place if place.is_dir() else None

    def _noted_best(self) -> tuple[int, float] | None:
        try:
            note = json.loads((self.folder / "best.json").read_text())
            return int(note["step"]), float(note["metric"])
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def _note_best(self, step: int, metric: float | None) -> None:
        if metric is None:
            return
        before = self._noted_best()
        if before is None or metric > before[1] or before[0] > step:
            temporary = self.folder / ".best.tmp"
            temporary.write_text(json.dumps({"step": step, "metric": metric}))
            temporary.replace(self.folder / "best.json")

    def _prune(self, step: int) -> None:
        """Keep the last ones; those past `step` are of a run that a resume went back on."""
        kept = [place for place in self.all() if _step(place) <= step][-self.keep_last :]
        for place in self.all():
            if place not in kept and place != self.best():
                shutil.rmtree(place)

    def _sweep(self) -> None:
        for left in self.folder.glob(".step-*.tmp"):
            shutil.rmtree(left)


def verify(place: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None where it is sound."""
    try:
        expected = json.loads((place / _SUMS).read_text())
    except (OSError, ValueError):
        return "no readable checksums"
    if not isinstance(expected, dict) or not expected:
        return "no readable checksums"
    for name, digest in cast("dict[str, str]", expected).items():
        file = place / name
        if not file.is_file():
            return f"{name} is missing"
        try:
            if _digest(file) != digest:
                return f"{name} does not match its checksum"
        except OSError as exc:
            return f"{name} cannot be read: {exc}"
    return None


def _step(place: Path) -> int:
    number = place.name.removeprefix("step-")
    return int(number) if number.isdecimal() else -1


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): _digest(p) for p in files}


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_full(exc: Exception, folder: Path) -> bool:
    """Whether a writer failed for want of space, as far as can be told."""
    if isinstance(exc, OSError):
        return exc.errno in (errno.ENOSPC, errno.EDQUOT)
    text = str(exc).lower()
    if "no space left" in text or "disk quota" in text:
        return True
    return _is_write_error(exc) and shutil.disk_usage(folder).free < 16 << 20


def _is_write_error(exc: Exception) -> bool:
    """Whether a file could not be written; torch's and safetensors' own errors hide that."""
    marks = ("os error", "i/o error", "iostream error", "inline_container", "file write failed")
    return isinstance(exc, OSError) or any(mark in str(exc).lower() for mark in marks)


def _cannot_write(place: Path, exc: Exception, full: bool) -> TrainingError:
    if full:
        return TrainingError(
            f"the disk is full: cannot write checkpoint {place}. Free some space, then go on "
            "with --resume; nothing but the steps since the last checkpoint is lost"
        )
    return TrainingError(f"cannot write checkpoint {place}: {exc}")
