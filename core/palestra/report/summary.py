"""The tables that end a run in the terminal. Every cell is `Text`: nothing is read as markup."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from palestra.evaluation.metrics import Measure
from palestra.evaluation.pooling import Json, pooled, record, records
from palestra.report.data import StageData
from palestra.report.html import visible
from palestra.report.tables import HEADINGS, VERDICTS, before_of, interval, written

_KEYS = ("pass@1", "lenient@1", "format", "language_consistency", "mean_length")
_STYLES = {"reproduced": "green", "not reproduced": "red", "inconclusive": "yellow"}


def summary_tables(results: Json, report: Path | None = None) -> list[RenderableType]:
    """Return the end of a run: stages before and after, claims with verdicts, the report's path.

    Args:
        results: what ``results.json`` holds; parts of it may be missing.
        report: the path of ``report/index.html``; nothing is said of a report without it.
    """
    shown: list[RenderableType] = []
    stages = records(results.get("stages"))
    claims = records(results.get("claims"))
    if stages:
        shown.append(_stage_table(stages))
    if claims:
        shown.append(_claim_table(claims))
    if report is not None:
        shown.append(Text.assemble(("Report  ", "bold"), visible(str(report))))
    return shown


def _stage_table(entries: Sequence[Json]) -> Table:
    """Return each stage's pooled reasoning measures, before and after it."""
    stages = [
        StageData(
            number=place,
            name=str(entry.get("name", "?")),
            facts=entry,
            folder=None,
            metrics=[],
            evals=[],
        )
        for place, entry in enumerate(entries, start=1)
    ]
    table = Table(
        title=Text("Stages, before → after (reasoning environments, %)"), title_justify="left"
    )
    table.add_column(Text("Stage"))
    table.add_column(Text("From"))
    for key in _KEYS:
        table.add_column(Text(HEADINGS.get(key, key)), justify="right")
    for stage in stages:
        before, after = before_of(stage, stages), stage.facts.get("evals")
        cells = [_change(key, pooled(before, key), pooled(after, key)) for key in _KEYS]
        table.add_row(_text(stage.name), _text(stage.fact("init_from")), *cells)
    return table


def _change(key: str, before: Measure | None, after: Measure | None) -> Text:
    """Return ``23.1 → 79.4`` with the interval of the value after on a second line."""
    if after is None:
        return Text("–", style="dim")
    text = Text()
    if before is not None:
        text.append(f"{written(key, before)} → ", style="dim")
    text.append(written(key, after), style="bold")
    text.append(f"\n{interval(key, after)}", style="dim")
    return text


def _claim_table(claims: Sequence[Json]) -> Table:
    """Return the claims, their verdicts and what was measured."""
    table = Table(title=Text("Claims of DeepSeek-R1"), title_justify="left")
    for heading in ("Verdict", "Claim", "Measured"):
        table.add_column(Text(heading))
    for claim in claims:
        verdict = str(claim.get("verdict", ""))
        sign = f"{VERDICTS.get(verdict, '?')} {visible(verdict)}"
        table.add_row(
            Text(sign, style=_STYLES.get(verdict, ""), no_wrap=True),
            _text(claim.get("claim", "")),
            Text(visible(str(record(claim.get("measured")).get("text", ""))), style="dim"),
        )
    return table


def _text(value: object) -> Text:
    return Text(visible(str(value)))
