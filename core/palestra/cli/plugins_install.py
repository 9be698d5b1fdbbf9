"""``palestra plugins install`` and ``uninstall``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from palestra.errors import ConfigError
from palestra.plugins.kinds import Kind
from palestra.terminal import one_line

if TYPE_CHECKING:
    from palestra.install.transaction import Plan, Report


def install(
    packages: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME|PATH|WHEEL",
            help="A package, a folder or a wheel; `chess` stands for `palestra-chess`.",
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Let what is installed change its version.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be installed; change nothing.")
    ] = False,
) -> None:
    """Install plugins beside Palestra; what does not load is taken back.

    What is installed keeps its version: a plugin that needs another one is refused, and named.
    """
    from palestra.install.transaction import install as install_planned
    from palestra.install.transaction import make_plan

    plan = make_plan(packages, force=force, say=_say)
    if dry_run:
        _print_plan(plan)
        return
    for change in plan.changed:
        _say(f"changes {change}")
    _say("installing " + (", ".join(c.as_new for c in plan.changes) or "nothing new"))
    _print_report(install_planned(plan), plan)


def uninstall(
    name: Annotated[str, typer.Argument(help="A plugin, or the package that brings it.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Uninstall a plugin's package; say first what recipes lose with it."""
    from palestra.install.transaction import find_removal
    from palestra.install.transaction import uninstall as uninstall_found
    from palestra.plugins.registry import get_registry

    removal = find_removal(name)
    what = f"{removal.distribution} {removal.version}"
    _say(f"{what} goes, and with it:")
    observers = get_registry().observers()
    for plugin in removal.plugins:
        specs = [(kind.value, spec.name) for kind, spec in plugin.specs]
        _say(f"  plugin {plugin.name}: {_brings(specs, observes=plugin.name in observers)}")
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("nobody is there to ask: add --yes")
        typer.confirm("Uninstall it?", abort=True, err=True)
    uninstall_found(removal)
    typer.echo(one_line(f"uninstalled {what}"))


def _print_plan(plan: Plan) -> None:
    if not plan.changes:
        typer.echo("all of it is installed already")
    for change in plan.changes:
        if not change.before:
            typer.echo(one_line(f"would install {change.as_new}"))
        elif change.before == change.after:
            typer.echo(one_line(f"would install {change.as_new} again"))
        else:
            typer.echo(one_line(f"would change {change}"))


def _print_report(report: Report, plan: Plan) -> None:
    if not report.changes:
        again = [change for change in plan.changes if change.before]
        done = f"installed {', '.join(c.as_new for c in again)} again" if again else ""
        typer.echo(one_line(done or "all of it is installed already"))
    for change in report.changes:
        verb = "changed" if change.before else "installed"
        typer.echo(one_line(f"{verb} {change}"))
    for plugin in report.plugins:
        brings = _brings(plugin.brings, observes=plugin.observes)
        origin = f"{plugin.distribution} {plugin.version}"
        typer.echo(one_line(f"plugin {plugin.name} ({origin}): {brings}"))
    for name in report.hidden:
        _say(f"{name} is not loaded: PALESTRA_PLUGINS or PALESTRA_BLOCK_PLUGINS keeps it out")


def _brings(specs: Iterable[tuple[str, str]], *, observes: bool) -> str:
    """Name what a plugin brings, kind by kind."""
    listed = list(specs)
    parts: list[str] = []
    for kind in Kind:
        names = [name for value, name in listed if value == kind.value]
        if names:
            label = kind.label if len(names) == 1 else kind.plural
            parts.append(f"{label} {', '.join(names)}")
    return "; ".join([*parts, *(["observes runs"] if observes else [])]) or "nothing"


def _say(text: str) -> None:
    typer.echo(one_line(text) if not text.startswith(" ") else f"  {one_line(text)}", err=True)
