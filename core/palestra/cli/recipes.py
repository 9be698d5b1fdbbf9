"""``palestra recipes``: list, show and validate recipes, and their JSON Schema."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False, help="List, show and validate recipes.", no_args_is_help=True
)

NameOrPath = Annotated[str, typer.Argument(help="A shipped recipe's name, or a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as stages.zero.steps=50."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command("ls")
def ls(json_output: Json = False) -> None:
    """List the recipes that come with Palestra."""
    from palestra.recipe.config import shipped_recipes

    found = shipped_recipes()
    if json_output:
        typer.echo(json.dumps([{"name": n, "description": d} for n, d in found], indent=2))
        return
    width = max((len(name) for name, _ in found), default=0)
    for name, description in found:
        typer.echo(f"{name:<{width}}  {description}".rstrip())


@app.command("show")
def show(
    recipe: NameOrPath,
    overrides: Overrides = None,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="With every default filled in.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Print a recipe: as it was written, or with --set, --resolved or --json as it is read.

    Resolved, what it extends, its when_model and its nested mixtures are filled in.
    """
    from palestra.recipe.config import load_recipe, recipe_text

    if not (resolved or overrides or json_output):
        typer.echo(recipe_text(recipe), nl=False)
        return
    loaded = load_recipe(recipe, overrides or ())
    text = json.dumps(loaded.as_dict(), indent=2) if json_output else loaded.to_yaml().rstrip("\n")
    typer.echo(text)


@app.command("validate")
def validate(recipe: NameOrPath, overrides: Overrides = None, json_output: Json = False) -> None:
    """Check all of a recipe that can be checked without loading a model."""
    from palestra.errors import ConfigError
    from palestra.recipe.config import load_recipe

    try:
        loaded = load_recipe(recipe, overrides or ())
    except ConfigError as exc:
        if not json_output:
            raise
        problems = str(exc).splitlines()
        document = {"recipe": recipe, "valid": False, "problems": problems}
        typer.echo(json.dumps(document, indent=2))
        raise typer.Exit(exc.exit_code) from exc
    if json_output:
        stages = list(loaded.stages)
        document = {"recipe": loaded.name, "valid": True, "problems": [], "stages": stages}
        typer.echo(json.dumps(document, indent=2))
    else:
        stages = " > ".join(loaded.stages)
        typer.echo(f"{loaded.name}: valid. {len(loaded.stages)} stages: {stages}")


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a recipe, with the options of the plugins installed here."""
    from palestra.recipe.schema import recipe_schema, written

    typer.echo(written(recipe_schema()), nl=False)
