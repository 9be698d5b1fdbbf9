"""``palestra run``: run a recipe, resume it, or say what it would do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a YAML file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key: stages.zero.steps=50."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A model folder or hub id; short for --set model=.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The recipe's seed.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the run.", show_default="runs/RECIPE-DATE-SEED"),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --output, or with the newest unfinished one of the recipe.",
        ),
    ] = False,
    only: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Run this stage, and what it needs.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Run the stages up to this one.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; touch nothing.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    profile: Annotated[
        int,
        typer.Option(
            "--profile",
            metavar="N",
            min=0,
            help="Trace N steps of each stage with torch's profiler, into the stage's folder.",
        ),
    ] = 0,
) -> None:
    """Run a recipe from its base model to its report."""
    from palestra.recipe.config import load_recipe
    from palestra.recipe.graph import select

    changes = list(overrides or ())
    if model is not None:
        changes.append(f"model={json.dumps(model)}")
    loaded = load_recipe(recipe, changes, seed)
    stages = select(loaded, only=only, until=until)
    if dry_run:
        from palestra.recipe.plan import plan

        planned = plan(loaded, stages)
        if json_output:
            typer.echo(json.dumps(planned.as_dict(), indent=2))
            return
        from rich.console import Console

        Console().print(planned)
        return
    from palestra.recipe.run import run_recipe

    run_recipe(
        loaded,
        output=output,
        resume=resume,
        only=only,
        until=until,
        json_output=json_output,
        profile=profile,
    )


app = typer.Typer(add_completion=False, help="Run a recipe.")
app.command("run")(command)
