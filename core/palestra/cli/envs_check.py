"""``palestra envs check``: hold environments to the conformance suite."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palestra.cli.options import Files, Json, Keywords, keywords, registry_with
from palestra.errors import ConfigError
from palestra.plugins.kinds import Kind
from palestra.terminal import one_line

if TYPE_CHECKING:
    from palestra.conformance import Report


def check(
    env_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ENV_ID]...", help="As math/Arithmetic-v1.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Check all that are installed, and that need no --kwargs.")
    ] = False,
    kwargs: Keywords = None,
    json_output: Json = False,
    plugins: Files = None,
) -> None:
    """Check environments: seeds, splits, rewards, and a panel of cheats that must not be paid."""
    registry = registry_with(plugins)
    if every == bool(env_ids):
        raise ConfigError("give the ids of environments, or --all. See: palestra envs ls")
    given = env_ids or registry.names(Kind.ENVIRONMENT)
    arguments = keywords(kwargs)
    if arguments and len(given) > 1:
        raise ConfigError("--kwargs are for one environment at a time")
    for env_id in given:  # a mistyped one is said before the others are checked
        registry.find(Kind.ENVIRONMENT, env_id)
    documents: list[dict[str, Any]] = []
    failed = False
    for env_id in given:
        report = _report(env_id, arguments, leave_out=every)
        if report is None:
            continue
        failed = failed or not report.ok
        documents.append(report.document())
        if not json_output:
            typer.echo(report.text())
    if json_output:
        one = len(given) == 1 and len(documents) == 1
        typer.echo(json.dumps(documents[0] if one else {"envs": documents}, indent=2))
    if failed:
        raise typer.Exit(1)


def _report(env_id: str, arguments: dict[str, object], *, leave_out: bool) -> Report | None:
    """Check one; under --all, one that wants arguments or more packages is said and left out."""
    from palestra.conformance import conform

    try:
        return conform(env_id, arguments)
    except ConfigError as exc:
        if not leave_out:
            raise
        print(f"{one_line(env_id)}: not checked: {one_line(str(exc))}", file=sys.stderr)
        return None
