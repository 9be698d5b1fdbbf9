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
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        place = self.folder / f"step-{step:06d}"
        temporary = self.folder / f".{place.name}.tmp"
        try:
            temporary.mkdir()
            write(temporary)
            (temporary / _SUMS).write_text(json.dumps(_checksums(temporary), indent=1))
            _flush(temporary)
            if place.exists():
                shutil.rmtree(place)
            temporary.rename(place)
            _flush_folder(self.folder)
        except OSError as exc:
            shutil.rmtree(temporary, ignore_errors=True)
            raise _cannot_write(place, exc) from exc
        except RuntimeError as exc:  # torch's and safetensors' writers wrap a full disk in this
            shutil.rmtree(temporary, ignore_errors=True)
            full = shutil.disk_usage(self.folder).free < 1 << 20 or "write" in str(exc).lower()
            if not full:
                raise
            raise TrainingError(f"cannot write checkpoint {place}: {exc}") from exc
        self._note_best(step, metric)
        self._prune()
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
        return sorted(p for p in self.folder.glob("step-*") if p.is_dir())

    def best(self) -> Path | None:
        """Return the checkpoint with the best metric, where one was given."""
        note = self.folder / "best.json"
        if not note.is_file():
            return None
        place = self.folder / f"step-{json.loads(note.read_text())['step']:06d}"
        return place if place.is_dir() else None

    def _note_best(self, step: int, metric: float | None) -> None:
        if metric is None:
            return
        note = self.folder / "best.json"
        before = json.loads(note.read_text()) if note.is_file() else None
        if before is None or metric > before["metric"] or before["step"] > step:
            note.write_text(json.dumps({"step": step, "metric": metric}))

    def _prune(self) -> None:
        kept = {*self.all()[-self.keep_last :], self.best()}
        for place in self.all():
            if place not in kept:
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
    for name, digest in expected.items():
        file = place / name
        if not file.is_file():
            return f"{name} is missing"
        if _digest(file) != digest:
            return f"{name} does not match its checksum"
    return None


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


def _cannot_write(place: Path, exc: OSError) -> TrainingError:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return TrainingError(
            f"the disk is full: cannot write checkpoint {place}. Free some space, then go on "
            "with --resume; nothing but the steps since the last checkpoint is lost"
        )
    return TrainingError(f"cannot write checkpoint {place}: {exc}")
