"""What a recipe's `model` and `student` mean: an embedded model, a local folder, or a hub id."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, cast

from palestra.errors import ConfigError, DataError
from palestra.tiny.paths import base_dir, student_dir

_SAMPLE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """A model that is named but not loaded.

    Attributes:
        name: what the recipe calls it.
        kind: embedded, a local folder, or on the Hugging Face hub.
        path: the folder, or for a hub model None.
    """

    name: str
    kind: Literal["tiny", "path", "hub"]
    path: Path | None = None

    @property
    def source(self) -> str:
        """What `transformers` loads it from."""
        return str(self.path) if self.path is not None else self.name

    def identity(self) -> str:
        """Return a line that changes when the weights do.

        A local model is told by the names and sizes of its files and a hash of each one's first
        and last 64 KiB; a hub model by its id.
        """
        if self.path is None:
            return f"hub:{self.name}"
        digest = hashlib.sha256()
        for file in sorted(p for p in self.path.glob("*") if p.is_file()):
            if file.suffix not in (".json", ".safetensors", ".bin", ".model", ".jinja", ".txt"):
                continue
            size = file.stat().st_size
            digest.update(f"{file.name} {size}\n".encode())
            with file.open("rb") as stream:
                digest.update(stream.read(_SAMPLE_BYTES))
                stream.seek(max(0, size - _SAMPLE_BYTES))
                digest.update(stream.read(_SAMPLE_BYTES))
        return f"files:{digest.hexdigest()}"

    def parameters(self) -> int | None:
        """Return the number of parameters, read from the files' headers; None where unknown."""
        if self.path is None or not self.path.is_dir():
            return None
        shards = sorted(self.path.glob("*.safetensors"))
        return sum(_safetensors_parameters(shard) for shard in shards) or None


def resolve_model(name: str) -> ModelRef:
    """Return what `name` refers to; loads nothing and asks nobody.

    Args:
        name: ``tiny``, ``tiny-student``, a folder with a ``config.json``, or a hub id.

    Raises:
        ConfigError: a path that is no model folder, or a name that can be no hub id.
    """
    if name == "tiny":
        return ModelRef(name=name, kind="tiny", path=base_dir())
    if name == "tiny-student":
        return ModelRef(name=name, kind="tiny", path=student_dir())
    path = Path(name).expanduser()
    if path.exists() or _is_path_like(name):
        if not path.exists():
            raise ConfigError(f"no model folder at '{name}'")
        if not path.is_dir():
            raise ConfigError(f"'{name}' is a file; a model is a folder with a config.json")
        if not (path / "config.json").is_file():
            raise ConfigError(f"'{name}' is not a model folder: it has no config.json")
        return ModelRef(name=name, kind="path", path=path)
    if not name or any(c.isspace() for c in name):
        raise ConfigError(f"{name!r} is neither tiny, a folder, nor a hub id such as org/name")
    return ModelRef(name=name, kind="hub")


def _is_path_like(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name


def _safetensors_parameters(file: Path) -> int:
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > file.stat().st_size:
                raise ValueError("header is longer than the file")
            header = cast("dict[str, Any]", json.loads(stream.read(length)))
        tensors = (v for k, v in header.items() if k != "__metadata__")
        return sum(prod(tensor["shape"]) for tensor in tensors)
    except (OSError, ValueError, struct.error, KeyError, TypeError) as exc:
        raise DataError(f"{file}: not a safetensors file: {exc}") from exc
