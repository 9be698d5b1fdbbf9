"""What several commands read in the same way: models, ``KEY=VALUE``, local plugin files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palestra.errors import ConfigError

if TYPE_CHECKING:
    from palestra.plugins.registry import Registry

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="tiny, a folder, a hub id, a run, or a stage of it: RUN:STAGE."
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        help="How messages become text: chat, r1_zero, raw or FILE.jinja.",
        show_default="the stage's, else chat",
    ),
]
Prefill = Annotated[
    str | None,
    typer.Option(help="What every completion begins with.", show_default="the stage's, else none"),
]
Files = Annotated[
    list[Path] | None,
    typer.Option("--plugins", metavar="FILE.py", help="Load a local file. May be repeated."),
]
Keywords = Annotated[
    list[str] | None,
    typer.Option(
        "--kwargs",
        metavar="KEY=VALUE",
        help="An argument of the environment's constructor. May be repeated.",
    ),
]


def registry_with(files: Iterable[Path] | None) -> Registry:
    """Return the process's registry, with these local files loaded."""
    from palestra.plugins.registry import get_registry

    registry = get_registry()
    for path in files or ():
        registry.add_local(path)
    return registry


def keywords(given: Iterable[str] | None) -> dict[str, object]:
    """Read ``KEY=VALUE``; a value that is JSON is what it says, any other is a string.

    Raises:
        ConfigError: an item is no ``KEY=VALUE``.
    """
    read: dict[str, object] = {}
    for item in given or ():
        name, equals, text = item.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"--kwargs takes KEY=VALUE, not '{item}'")
        try:
            read[name] = json.loads(text)
        except ValueError:
            read[name] = text
    return read
