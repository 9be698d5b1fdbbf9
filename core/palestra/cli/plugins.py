"""``palestra plugins``: what is installed, what it brings, and why a broken plugin is broken."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from palestra.plugins.kinds import Kind
from palestra.plugins.registry import LoadedPlugin, get_registry
from palestra.terminal import one_line

app = typer.Typer(help="List plugins.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def plugins() -> None:
    """List plugins, and say what is wrong with broken ones."""


@app.command("ls")
def ls(
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the installed plugins: name, distribution, state, and what each brings."""
    found = sorted(get_registry().plugins, key=lambda p: (p.distribution, p.name))
    if json_output:
        typer.echo(json.dumps([_as_dict(plugin) for plugin in found], indent=2))
        return
    rows = [(p.name, p.distribution, p.version, p.state, _brings(p)) for p in found]
    print_table(("name", "distribution", "version", "state", "brings"), rows)


def print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print rows in columns, their text made safe for a terminal; the last column runs on."""
    lines = [tuple(one_line(cell) for cell in row) for row in [head, *rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        cells = [f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)]
        typer.echo("  ".join([*cells[:-1], line[-1]]).rstrip())


def _brings(plugin: LoadedPlugin) -> str:
    if plugin.state == "broken":
        return plugin.error
    labels = {kind.value: kind for kind in Kind}
    counted = [
        f"{count} {labels[kind].label if count == 1 else labels[kind].plural}"
        for kind, count in plugin.counts.items()
    ]
    if plugin.name in get_registry().observers():
        counted.append("observes runs")
    return ", ".join(counted) or "nothing"


def _as_dict(plugin: LoadedPlugin) -> dict[str, object]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "state": plugin.state,
        "error": plugin.error,
        "counts": plugin.counts,
        "brings": [{"kind": kind.value, "name": spec.name} for kind, spec in plugin.specs],
        "observes": plugin.name in get_registry().observers(),
    }
