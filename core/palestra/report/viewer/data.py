"""What the viewer's page holds of a step: its groups as plain, small JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from palestra.envs import Status
from palestra.rollout.detokenize import Detokenizer
from palestra.rollout.recorded import Row, by_group

COLUMNS = (
    "step", "source", "env_id", "task_id", "group", "member", "language", "difficulty", "prompt",
    "completion", "reference", "extracted", "reward", "components", "status", "reason",
    "stop_reason", "length", "advantage", "token_ids", "loss_mask", "sampler_logprobs",
    "advantages",
)  # fmt: skip
"""Columns of a record that the page shows."""


class _Texts:
    """The distinct tokens of a step; sequences name them by their place here."""

    def __init__(self, detokenizer: Detokenizer) -> None:
        self._detokenizer = detokenizer
        self._places: dict[tuple[int, str], int] = {}

    def places(self, ids: Sequence[int]) -> list[int]:
        """Return the place of each token."""
        pieces = self._detokenizer.pieces(ids)
        return [
            self._places.setdefault(pair, len(self._places))
            for pair in zip(ids, pieces, strict=True)
        ]

    def written(self) -> dict[str, Any]:
        """Return the table, as two columns."""
        pairs = list(self._places)
        return {"ids": [i for i, _ in pairs], "texts": [text for _, text in pairs]}


def step_data(
    rows: Sequence[Row], labels: Sequence[str], detokenizer: Detokenizer | None
) -> dict[str, Any]:
    """Return a step's groups for the page.

    Args:
        rows: the record of the step.
        labels: what the mixture's sources are called.
        detokenizer: gives tokens their text; None shows whole completions, without colours.
    """
    texts = _Texts(detokenizer) if detokenizer is not None else None
    groups = [_group(members, labels, texts) for members in by_group(rows).values()]
    table = texts.written() if texts is not None else {"ids": [], "texts": []}
    return {"groups": groups, **table}


def _group(rows: Sequence[Row], labels: Sequence[str], texts: _Texts | None) -> dict[str, Any]:
    """Return a group: its prompt once, then what each member adds."""
    first = rows[0]
    masks = [row.get("loss_mask") or [] for row in rows]
    opening = min((mask.index(True) if True in mask else len(mask) for mask in masks), default=0)
    place = int(first["source"]) if str(first.get("source")).isdecimal() else -1
    prompt = None
    if texts is not None and first.get("token_ids"):
        prompt = texts.places(first["token_ids"][:opening])
    return {
        "g": first["group"],
        "source": labels[place] if 0 <= place < len(labels) else str(first.get("source")),
        "env": first.get("env_id") or "?",
        "task": first.get("task_id") or "?",
        "key": f"{first.get('env_id')} {first.get('task_id')}",
        "language": first.get("language"),
        "level": first.get("difficulty"),
        "reference": first.get("reference"),
        "prompt": first.get("prompt") or "",
        "p": prompt,
        "members": [_member(row, opening, texts) for row in rows],
    }


def _member(row: Row, opening: int, texts: _Texts | None) -> dict[str, Any]:
    status = str(row.get("status"))
    known = {str(s) for s in Status}
    member: dict[str, Any] = {
        "m": row["member"],
        "r": row["reward"] or 0.0,
        "c": json.loads(row.get("components") or "{}"),
        "status": status,
        "valid": status in known and Status(status).is_valid,
        "reason": row.get("reason"),
        "stop": row.get("stop_reason") or "?",
        "length": row.get("length") or 0,
        "extracted": row.get("extracted"),
        "advantage": row.get("advantage"),
    }
    if texts is None or not row.get("token_ids"):
        return member | {"text": row.get("completion") or ""}
    mask = row["loss_mask"][opening:]
    runs = [len(list(run)) for _, run in groupby(mask)]
    return member | {
        "t": texts.places(row["token_ids"][opening:]),
        "runs": runs if mask[:1] == [True] else [0, *runs],
        "lp": [round(-1000 * value) for value in row["sampler_logprobs"]],
        "a": _advantages(row),
    }


def _advantages(row: Row) -> list[float] | float | None:
    """Return an advantage for each policy token, or the one that all of them have."""
    values = row.get("advantages")
    if not values:
        return row.get("advantage")
    rounded = [round(value, 4) for value in values]
    return rounded[0] if len(set(rounded)) == 1 else rounded
