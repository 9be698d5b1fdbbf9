"""``palestra claims``: ask the paper's claims of the embedded model, over several seeds."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palestra.cli.options import Json

if TYPE_CHECKING:
    from palestra.recipe.config import Recipe

app = typer.Typer(add_completion=False, rich_markup_mode=None)

RECIPE = "r1-claims"


@app.command("claims")
def command(
    seeds: Annotated[int, typer.Option(min=1, help="Seeds, from 0: so many runs.")] = 3,
    output: Annotated[
        Path, typer.Option(help="Folder of the runs, one a seed; finished stages are kept.")
    ] = Path("runs/claims"),
    to: Annotated[Path, typer.Option(help="The page to write.")] = Path("docs/claims.md"),
    recipe: Annotated[
        str, typer.Option(help="The recipe whose stages and arms are judged.")
    ] = RECIPE,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the recipe."),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Run nothing; write the page of what is there.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Run the recipe once a seed, and write what each claim of the paper came to.

    What is finished is not run again: a run that was cut off goes on where it was.
    """
    from palestra.errors import ConfigError
    from palestra.recipe.config import load_recipe
    from palestra.report.claims_page import claims_page

    found: dict[int, Mapping[str, Any]] = {}
    words = ["palestra", "claims", "--seeds", str(seeds)]
    words += ["--recipe", recipe] if recipe != RECIPE else []
    words += [word for change in overrides or () for word in ("--set", change)]
    for seed in range(seeds):
        folder = output / f"seed-{seed}"
        if not read_only:
            _finish(load_recipe(recipe, list(overrides or ()), seed), folder)
        if _is_done(folder):
            found[seed] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_text(claims_page(found, shlex.join(words)), encoding="utf-8")
    if not found:
        raise ConfigError(f"{output} holds no finished run: leave --read-only away to make them")
    if json_output:
        typer.echo(json.dumps({seed: results["claims"] for seed, results in found.items()}))
    else:
        typer.echo(f"{to}: seeds {', '.join(map(str, found))}")


def _is_done(folder: Path) -> bool:
    from palestra.recipe.manifest import read_manifest

    manifest = read_manifest(folder)
    return manifest is not None and manifest.done and (folder / "results.json").is_file()


def _finish(recipe: Recipe, folder: Path) -> None:
    """Run what `folder` does not hold yet, or what was made under other inputs."""
    from palestra.recipe.manifest import read_manifest
    from palestra.recipe.run import run_recipe

    run_recipe(recipe, output=folder, resume=read_manifest(folder) is not None)
