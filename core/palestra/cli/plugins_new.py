"""``palestra plugins new``: a plugin package to begin from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[str, typer.Argument(help="Namespace of its environments, as chess.")],
    output: Annotated[
        Path | None, typer.Option(help="The package's folder.", show_default="palestra-NAME")
    ] = None,
) -> None:
    """Begin a plugin package: an environment, its tests, README, licence and CI."""
    from palestra.install.new import new_package

    folder = new_package(name, output)
    typer.echo(folder)
    typer.echo(
        f"Next: pip install -e '{folder}[test]', then: pytest {folder} (README.md says the rest)",
        err=True,
    )
