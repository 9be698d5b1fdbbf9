"""Rollout samples: the best and the worst of a group at a stage's first, middle and last step."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from palestra.evaluation.pooling import Json, number, record
from palestra.report.html import Child, Html, tag

_COLUMNS = (
    "step", "source", "env_id", "task_id", "group", "member", "prompt", "completion", "reward",
    "components", "status", "stop_reason", "length", "advantage",
)  # fmt: skip
_MOST_CHARACTERS = 6_000
_Item = TypeVar("_Item")
_TAGS = re.compile(r"(</?(?:think|answer)>)")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSample:
    """One group of a step: its size, its best member and its worst (None in a group of one)."""

    step: int
    size: int
    best: Json
    worst: Json | None


def samples_of(folder: Path | None) -> list[GroupSample]:
    """Read a stage's rollouts and choose a group of its first, middle and last step.

    Files that cannot be read are passed over; without pyarrow there are no samples.
    """
    files = sorted((folder / "rollouts").glob("*.parquet"), key=_natural) if folder else []
    rows = [row for path in _ends_and_middle(files) for row in _read(path)]
    steps: defaultdict[int, list[Json]] = defaultdict(list)
    for row in rows:
        steps[int(number(row.get("step")) or 0)].append(row)
    return [_choose(step, steps[step]) for step in _ends_and_middle(sorted(steps))]


def _ends_and_middle(items: Sequence[_Item]) -> list[_Item]:
    return [items[i] for i in sorted({0, len(items) // 2, len(items) - 1})] if items else []


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort ``step-9`` before ``step-10``."""
    pieces = re.split(r"(\d+)", path.name)
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces]


def _read(path: Path) -> list[Json]:
    try:
        import pyarrow.parquet as pq
        from pyarrow import ArrowException
    except ImportError:
        return []
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in _COLUMNS if name in file.schema_arrow.names]
            rows = cast("list[Json]", file.read(columns=names).to_pylist())
    except (ArrowException, OSError, UnicodeDecodeError):
        return []
    return rows


def _choose(step: int, rows: Iterable[Json]) -> GroupSample:
    """Choose the step's group with the widest rewards, the first of equals."""
    groups: defaultdict[tuple[str, str], list[Json]] = defaultdict(list)
    for row in rows:
        groups[str(row.get("source")), str(row.get("group"))].append(row)
    ranked = [sorted(members, key=_reward) for members in groups.values()]
    members = max(ranked, key=lambda group: _reward(group[-1]) - _reward(group[0]))
    worst = members[0] if len(members) > 1 else None
    return GroupSample(step=step, size=len(members), best=members[-1], worst=worst)


def _reward(row: Json) -> float:
    return number(row.get("reward")) or 0.0


def sample_block(sample: GroupSample, *, is_open: bool) -> Html:
    """Return one group as a foldable block: prompt, best member, worst member."""
    row = sample.best
    where = " · ".join(_text(row, key) for key in ("env_id", "task_id") if _text(row, key))
    rewards = f"best {_reward(row):.3g}"
    if sample.worst is not None:
        rewards += f", worst {_reward(sample.worst):.3g} of {sample.size}"
    summary = tag(
        "summary",
        tag("b", f"Step {sample.step}"),
        tag("span", where),
        tag("span", rewards, cls="note"),
    )
    members = [_member("Best", row)]
    if sample.worst is not None:
        members.append(_member("Worst", sample.worst))
    return tag(
        "details",
        summary,
        tag("div", "Prompt", cls="label"),
        tag("pre", _model_text(_text(row, "prompt")), cls="text prompt", dir="ltr"),
        tag("div", *members, cls="members"),
        cls="sample",
        open="" if is_open else None,
    )


def _member(title: str, row: Json) -> Html:
    """Return one completion with its reward, components and how it ended."""
    status = _text(row, "status")
    facts = [tag("b", f"{title} {_reward(row):.3g}")]
    facts += [tag("span", f"{name} {value}", cls="chip") for name, value in _components(row)]
    if status:
        facts.append(tag("span", status, cls="chip" if status == "ok" else "chip odd"))
    ends = [f"{row['length']} tokens"] if number(row.get("length")) is not None else []
    ends += [_text(row, "stop_reason")] if _text(row, "stop_reason") else []
    advantage = number(row.get("advantage"))
    ends += [] if advantage is None else [f"advantage {advantage:+.3g}"]
    return tag(
        "div",
        tag("div", *facts, tag("span", " · ".join(ends), cls="note"), cls="facts"),
        tag("pre", _model_text(_text(row, "completion")), cls="text", dir="ltr"),
        cls="member",
    )


def _components(row: Json) -> list[tuple[str, str]]:
    """Return the reward's components; what cannot be parsed is shown as it stands."""
    raw = row.get("components")
    try:
        parsed = cast(object, json.loads(raw)) if isinstance(raw, str) else raw
    except (ValueError, RecursionError):
        return [("components", str(raw))]
    found = {str(name): number(value) for name, value in record(parsed).items()}
    return [(name, "–" if value is None else f"{value:.3g}") for name, value in found.items()]


def _text(row: Json, key: str) -> str:
    value = row.get(key)
    return "" if value is None else str(value)


def _model_text(text: str) -> list[Child]:
    """Return model text with the format's tags marked and a very long middle left out."""
    cut = len(text) - _MOST_CHARACTERS
    if cut > 0:
        half = _MOST_CHARACTERS // 2
        gap = tag("span", f" … {cut:,} characters left out … ", cls="ctl")
        return [*_marked(text[:half]), gap, *_marked(text[-half:])]
    return _marked(text) if text else [tag("span", "nothing", cls="ctl")]


def _marked(text: str) -> list[Child]:
    pieces = _TAGS.split(text)
    return [tag("span", p, cls="tag") if _TAGS.fullmatch(p) else p for p in pieces if p]
