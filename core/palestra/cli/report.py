"""``palestra report``: build the report of a run again from what lies in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("report")
def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write report/index.html of a run, finished or not, and print its path."""
    from palestra.report.page import build_report
    from palestra.terminal import visible

    page = build_report(run)
    typer.echo(json.dumps({"report": str(page)}) if json_output else visible(str(page)))
