"""Verdicts kept on disk: the same question to the same judge is asked once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from palestra.plugins.cache import cache_folder
from palestra_reward_models.verdicts import Verdict

V = TypeVar("V", bound=Verdict)


class VerdictCache:
    """One small file a verdict, renamed into place; what cannot be read counts as not there.

    Args:
        folder: where; ``judge`` in Palestra's cache folder where None.
    """

    def __init__(self, folder: str | None) -> None:
        default = cache_folder()
        self.folder = (
            Path(folder).expanduser()
            if folder is not None
            else default.with_name("judge")
            if default is not None
            else None
        )

    def key(self, *facts: object) -> str:
        """Return a key of all that a verdict depends on; the code of a request is not of it."""
        text = json.dumps(facts, sort_keys=True, ensure_ascii=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def get(self, key: str, kind: type[V]) -> V | None:
        """Return the verdict that is kept under `key`, if there is one."""
        if self.folder is None:
            return None
        try:
            return kind.model_validate_json(self._file(key).read_bytes())
        except (OSError, ValidationError):
            return None

    def put(self, key: str, verdict: Verdict) -> None:
        """Keep a verdict; where nothing can be written, nothing is kept."""
        if self.folder is None:
            return
        file = self._file(key)
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(verdict.model_dump_json())
            os.replace(temporary, file)

    def _file(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.json"
