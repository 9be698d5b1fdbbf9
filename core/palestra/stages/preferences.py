"""Preference data: rows of a file as pairs, or as completions with a label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from palestra.envs import Message
from palestra.errors import DataError, did_you_mean
from palestra.seeding import rng, stable_hash
from palestra.stages.examples import as_messages, read_data_rows
from palestra.stages.preference_config import PreferenceDataConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """What people, or a judge, said of one prompt's completions.

    Attributes:
        messages: the conversation.
        completions: the better and the worse one; or one alone.
        label: 1.0 for good, 0.0 for bad, where there is one alone.
    """

    messages: Sequence[Message]
    completions: tuple[str, ...]
    label: float = 1.0

    @property
    def prompt_key(self) -> str:
        """The same for every preference of one prompt."""
        return stable_hash("\n".join(f"{m['role']}: {m['content']}" for m in self.messages))


def load_preferences(
    items: Sequence[PreferenceDataConfig], pairwise: bool, seed: int, where: str
) -> list[Preference]:
    """Return the rows of all files, in their order.

    Raises:
        DataError: a file without rows or columns, or a row that prefers nothing.
    """
    out: list[Preference] = []
    for number, item in enumerate(items):
        path = Path(item.file).expanduser()
        rows = read_data_rows(path)
        read = _pair if pairwise else _rated
        found = [read(item, row, f"{path}:{n}") for n, row in enumerate(rows, start=1)]
        if not found:
            raise DataError(f"{path}: no rows")
        if item.limit is not None:
            order = rng(seed, "limit", where, number).permutation(len(found))
            found = [found[int(i)] for i in order[: item.limit]]
        out += found
    return out


def split_by_prompt(
    preferences: Sequence[Preference], share: float, seed: int, stream: str
) -> tuple[list[int], list[int]]:
    """Return the rows to train on, and those held out: all preferences of `share` of the prompts.

    A prompt is on one side only, so that what is measured is not what was learnt by heart.
    """
    prompts = sorted({p.prompt_key for p in preferences})
    order = rng(seed, "held_out", stream).permutation(len(prompts))
    held = {prompts[int(i)] for i in order[: math.ceil(share * len(prompts))]}
    rows = [(i, p.prompt_key in held) for i, p in enumerate(preferences)]
    return [i for i, out in rows if not out], [i for i, out in rows if out]


def _pair(item: PreferenceDataConfig, row: dict[str, Any], where: str) -> Preference:
    columns = (item.prompt_column, item.chosen_column, item.rejected_column)
    prompt, chosen, rejected = _read(row, columns, where)
    texts = (_text(chosen), _text(rejected))
    if texts[0] == texts[1]:
        raise DataError(f"{where}: the chosen and the rejected completion are the same")
    return Preference(messages=as_messages(prompt), completions=texts)


def _rated(item: PreferenceDataConfig, row: dict[str, Any], where: str) -> Preference:
    columns = (item.prompt_column, item.completion_column, item.label_column)
    prompt, completion, label = _read(row, columns, where)
    if label not in (0, 1):  # true and false are
        raise DataError(f"{where}: '{item.label_column}' should be 0, 1, true or false: {label!r}")
    return Preference(
        messages=as_messages(prompt), completions=(_text(completion),), label=float(label)
    )


def _read(row: dict[str, Any], columns: Sequence[str], where: str) -> list[Any]:
    for column in columns:
        if row.get(column) is None:
            raise DataError(
                f"{where}: no field '{column}'.{did_you_mean(column, row)} "
                f"The row has: {', '.join(row)}"
            )
    return [row[column] for column in columns]


def _text(completion: object) -> str:
    """Return a completion: text, or the last message of a conversation, as TRL writes it."""
    if isinstance(completion, list) and completion:
        return str(cast("list[dict[str, Any]]", completion)[-1].get("content", ""))
    return str(completion)
