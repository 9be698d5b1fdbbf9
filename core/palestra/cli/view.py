"""``palestra view``: a page to look at the rollouts of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("view")
def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    stage: Annotated[
        str | None,
        typer.Option(help="Stage whose rollouts are shown.", show_default="the last with some"),
    ] = None,
    steps: Annotated[
        list[int] | None,
        typer.Option(
            "--step",
            metavar="N",
            help="A step to put on the page. May be repeated.",
            show_default="the first and the last",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The page.", show_default="RUN/view/STAGE.html")
    ] = None,
    browse: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a page of a stage's rollouts, and print its path.

    A group side by side, tokens coloured by advantage, log-prob or mask, filters, two steps
    compared. The page is one file; it needs no network, and its text can run nothing.
    """
    from palestra.report.viewer.build import build_view
    from palestra.terminal import visible

    page = build_view(run, stage, steps or (), output, _base_model(run))
    typer.echo(json.dumps({"page": str(page)}) if json_output else visible(str(page)))
    if browse:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def _base_model(run: Path) -> Path | None:
    """Return the folder of the run's base model, if it lies on this machine."""
    import yaml

    from palestra.errors import PalestraError
    from palestra.recipe.models import resolve_model

    try:
        name = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))["model"]
        source = resolve_model(str(name)).source
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError, PalestraError):
        return None
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(source, "tokenizer.json")
    except ValueError:  # neither a folder nor a hub id
        return None
    return Path(cached).parent if isinstance(cached, str) else None
