"""``palestra export``: a run's model as a Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from palestra.cli.options import Json

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("export")
def command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="The folder to make.")],
    stage: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The stage.", show_default="the run's result"),
    ] = None,
    json_output: Json = False,
) -> None:
    """Write a stage's model, tokenizer, chat template and model card into a new folder."""
    from palestra.recipe.export import export_stage
    from palestra.recipe.finished import find_stage
    from palestra.terminal import visible

    found = find_stage(run, stage)
    folder = export_stage(found, to)
    if json_output:
        typer.echo(json.dumps({"folder": str(folder), "stage": found.name}))
    else:
        typer.echo(visible(f"{folder}: stage {found.name} of {found.run}"))
