"""``palestra data``: the sets of examples that a run's stages made."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palestra.cli.options import Json
from palestra.errors import ConfigError, did_you_mean
from palestra.terminal import one_line, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.text import Text

    from palestra.stages.dataset import DataFacts

app = typer.Typer(
    add_completion=False,
    help="List the sets of examples that stages made, read them, print their cards.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Where = Annotated[
    Path, typer.Argument(metavar="RUN|PATH", help="A run, a stage's folder, or a Parquet file.")
]
Stage = Annotated[
    str | None, typer.Option(metavar="NAME", help="The stage.", show_default="the last with a set")
]


@app.command("ls")
def ls(where: Where, json_output: Json = False) -> None:
    """List the sets: examples, completions that were sampled for them, version, file."""
    from palestra.cli.plugins import print_table
    from palestra.stages.dataset import read_dataset

    found = [(file, read_dataset(file)[1]) for file in _sets(where)]
    if json_output:
        typer.echo(json.dumps([{"file": str(f), **asdict(facts)} for f, facts in found], indent=2))
        return
    rows = [
        (facts.stage, str(facts.kept), str(facts.sampled), facts.version, str(file))
        for file, facts in found
    ]
    print_table(("stage", "examples", "sampled", "version", "file"), rows)


@app.command("show")
def show(
    where: Where,
    stage: Stage = None,
    first: Annotated[int, typer.Option(metavar="N", min=0, help="The first example.")] = 0,
    count: Annotated[int, typer.Option(metavar="N", min=1, help="How many.")] = 3,
    json_output: Json = False,
) -> None:
    """Show examples: prompt and completion, with where they come from."""
    from palestra.stages.dataset import read_dataset

    file = _one(where, stage)
    rows, facts = read_dataset(file)
    if first >= len(rows):
        raise ConfigError(f"{file} has examples 0 to {len(rows) - 1}, not {first}")
    chosen = rows[first : first + count]
    if json_output:
        typer.echo(json.dumps(chosen, indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for number, row in enumerate(chosen, start=first):
        for part in _example(number, row, facts):
            console.print(part, soft_wrap=True)


def _example(number: int, row: dict[str, object], facts: DataFacts) -> Iterable[Text]:
    """Yield an example as plain text with styles: what a model wrote is never markup."""
    from rich.text import Text

    head = f"[{number}/{facts.kept}] {row['env_id']} {row['task_id']}, reward {row['reward']}"
    yield Text(one_line(head), style="bold")
    yield Text(visible(str(row["prompt"])), style="cyan")
    yield Text(visible(str(row["completion"])))
    yield Text()


@app.command("card")
def card(where: Where, stage: Stage = None, json_output: Json = False) -> None:
    """Print the dataset card: counts, what each filter took, lineage."""
    from palestra.stages.dataset import card as dataset_card
    from palestra.stages.dataset import read_dataset

    file = _one(where, stage)
    rows, facts = read_dataset(file)
    if json_output:
        typer.echo(json.dumps(asdict(facts), indent=2))
    else:
        typer.echo(visible(dataset_card(rows, file.name, facts)).rstrip())


def _sets(where: Path) -> list[Path]:
    """Return the Parquet files of the sets at a path, in the order of the stages."""
    if where.is_file():
        return [where]
    if not where.exists():
        raise ConfigError(f"{where} does not exist")
    found = [*where.glob("examples.parquet"), *sorted(where.glob("stages/*/examples.parquet"))]
    if not found:
        raise ConfigError(
            f"{where} holds no set of examples: only rejection_sampling stages make one"
        )
    return found


def _one(where: Path, stage: str | None) -> Path:
    found = {_stage_of(file): file for file in _sets(where)}
    if stage is None:
        return list(found.values())[-1]
    if stage not in found:
        hint = did_you_mean(stage, found)
        raise ConfigError(f"{where}: no set of a stage '{stage}'.{hint} Sets: {', '.join(found)}")
    return found[stage]


def _stage_of(file: Path) -> str:
    return file.resolve().parent.name.partition("-")[2]
