"""Where a supervised stage takes its examples from: an entry of its `data`."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, Field, field_validator, model_validator

from palestra.config import ConfigModel, Difficulty
from palestra.splits import Split


class DataConfig(ConfigModel):
    """Examples for supervised training, from exactly one of `from`, `file` and `env`."""

    from_stage: str | None = Field(default=None, alias="from")
    """Name of the rejection-sampling stage whose examples to take."""

    file: str | None = None
    """A local .jsonl or .parquet file."""

    prompt_column: str = "prompt"
    """Column of `file` with the prompt."""

    completion_column: str = "completion"
    """Column of `file` with the completion."""

    env: str | None = None
    """Id of the environment whose reference completions to take."""

    kwargs: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Arguments of `env`."""

    difficulty: Difficulty = None
    """Level of `env`, or [lowest, highest]; its whole range where absent."""

    language: str | None = None
    """Language of the questions of `env`; every one it has where absent."""

    split: Split = "train"
    """Split of `env` that tasks are drawn from."""

    count: int | None = Field(default=None, ge=1)
    """Examples to make from `env`."""

    limit: int | None = Field(default=None, ge=1)
    """Examples to take at most, in a seeded order; all where absent."""

    repeat: int = Field(default=1, ge=1)
    """Times that each example occurs in an epoch."""

    @field_validator("file")
    @classmethod
    def _file(cls, value: str | None) -> str | None:
        if value is not None and PurePath(value).suffix not in (".jsonl", ".parquet"):
            raise ValueError(f"should be a .jsonl or .parquet file, not '{value}'")
        return value

    @model_validator(mode="after")
    def _one_origin(self) -> DataConfig:
        given = [n for n in ("from", "file", "env") if getattr(self, _ORIGINS.get(n, n))]
        if len(given) != 1:
            raise ValueError(
                f"should have exactly one of `from`, `file` and `env`, not {_listed(given)}"
            )
        for owner, keys in _ORIGIN_KEYS.items():
            stray = [key for key in keys if key in self.model_fields_set and owner != given[0]]
            # A resolved recipe writes defaults out, so only a value that says something is wrong.
            stray = [k for k in stray if getattr(self, k) != _default(type(self), k)]
            if stray:
                raise ValueError(f"{_listed(stray)} goes with `{owner}`, not with `{given[0]}`")
        if self.env is not None and self.count is None:
            raise ValueError("`env` needs `count`, the number of examples to make")
        return self


_ORIGINS = {"from": "from_stage"}
_ORIGIN_KEYS = {
    "file": ("prompt_column", "completion_column"),
    "env": ("kwargs", "difficulty", "language", "split", "count"),
}


def _listed(names: list[str]) -> str:
    return " and ".join(f"`{name}`" for name in names) or "none"


def _default(model: type[BaseModel], name: str) -> Any:
    return model.model_fields[name].get_default(call_default_factory=True)
