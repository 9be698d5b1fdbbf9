"""What a preference data set is told: an entry of `data` of a reward model's stage."""

from __future__ import annotations

from pathlib import PurePath

from pydantic import Field, field_validator

from palestra.config import ConfigModel


class PreferenceDataConfig(ConfigModel):
    """A file of preferences, or of completions with a label each."""

    file: str
    """A local .jsonl or .parquet file."""

    prompt_column: str = "prompt"
    """Column with the prompt: text, or a list of messages."""

    chosen_column: str = "chosen"
    """Column with the better completion, where the objective is pairwise."""

    rejected_column: str = "rejected"
    """Column with the worse completion, where the objective is pairwise."""

    completion_column: str = "completion"
    """Column with the completion, where the objective is pointwise."""

    label_column: str = "label"
    """Column with 1 or true for good (safe), 0 or false for bad, where it is pointwise."""

    limit: int | None = Field(default=None, ge=1)
    """Rows to take at most, in a seeded order; all where absent."""

    @field_validator("file")
    @classmethod
    def _file(cls, value: str) -> str:
        if PurePath(value).suffix not in (".jsonl", ".parquet"):
            raise ValueError(f"should be a .jsonl or .parquet file, not '{value}'")
        return value
