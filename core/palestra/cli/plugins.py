"""``palestra plugins``: what is installed, what it brings, and why a broken plugin is broken."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from palestra.cli.doctor import doctor
from palestra.cli.options import Json
from palestra.cli.plugins_install import install, uninstall
from palestra.cli.plugins_new import new
from palestra.errors import ConfigError, NotFound, PalestraError, did_you_mean
from palestra.plugins.installed import canonical
from palestra.plugins.kinds import Kind
from palestra.plugins.registry import LoadedPlugin, Registry, get_registry, probe_registry
from palestra.plugins.requirements import Unmet, unmet
from palestra.plugins.specs import Spec
from palestra.terminal import one_line, visible

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

app = typer.Typer(
    add_completion=False,
    help="List, show, install and make plugins.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def plugins() -> None:
    """List, show, install and make plugins, and say what is wrong with broken ones."""


@app.command("ls")
def ls(
    probe: Annotated[
        bool, typer.Option("--probe", help="Look at all plugins anew; forget what is known.")
    ] = False,
    json_output: Json = False,
) -> None:
    """List the installed plugins: name, distribution, state, and what each brings."""
    registry = probe_registry() if probe else get_registry()
    found = sorted(registry.plugins, key=lambda p: (p.distribution, p.name))
    if json_output:
        typer.echo(json.dumps([_as_dict(registry, plugin) for plugin in found], indent=2))
        return
    rows = [(p.name, p.distribution, p.version, p.state, _brings(registry, p)) for p in found]
    print_table(("name", "distribution", "version", "state", "brings"), rows)


@app.command("show")
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="As plugins ls prints it, or DIST:NAME.")
    ],
    json_output: Json = False,
) -> None:
    """Show all that is known of one plugin: what it brings, and why it is broken."""
    registry = get_registry()
    document = _details(registry, _one(registry, name))
    if json_output:
        typer.echo(json.dumps(document, indent=2))
    else:
        _print_details(document)


def print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print rows in columns, their text made safe for a terminal; the last column runs on."""
    lines = [tuple(one_line(cell) for cell in row) for row in [head, *rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        cells = [f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)]
        typer.echo("  ".join([*cells[:-1], line[-1]]).rstrip())


def _brings(registry: Registry, plugin: LoadedPlugin) -> str:
    if plugin.state == "broken":
        return plugin.error
    labels = {kind.value: kind for kind in Kind}
    counted = [
        f"{count} {labels[kind].label if count == 1 else labels[kind].plural}"
        for kind, count in plugin.counts.items()
    ]
    if plugin.observes:
        counted.append("observes runs")
    return ", ".join([*counted, *_clashes(registry, plugin)]) or "nothing"


def _clashes(registry: Registry, plugin: LoadedPlugin) -> list[str]:
    """Return a remark for each namespace of a plugin that another distribution claims too."""
    spaces = {
        spec.name.partition("/")[0] for kind, spec in plugin.specs if kind is Kind.ENVIRONMENT
    }
    clashes: list[str] = []
    for space in sorted(spaces):
        others = [d for d in registry.claimants(space) if d != plugin.distribution]
        if others:
            clashes.append(
                f"namespace '{space}' is also claimed by {' and '.join(others)}: "
                f"write '{plugin.distribution}:{space}/...'"
            )
    return clashes


def _as_dict(registry: Registry, plugin: LoadedPlugin) -> dict[str, object]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "state": plugin.state,
        "error": plugin.error,
        "counts": plugin.counts,
        "brings": [{"kind": kind.value, "name": spec.name} for kind, spec in plugin.specs],
        "observes": plugin.observes,
        "clashes": _clashes(registry, plugin),
    }


# -- one plugin ---------------------------------------------------------------------------------


def _one(registry: Registry, name: str) -> LoadedPlugin:
    """Return the plugin that a user means: by its name, its distribution's, or ``DIST:NAME``."""
    distribution, _, bare = name.rpartition(":")
    found = [
        plugin
        for plugin in registry.plugins
        if plugin.name == bare
        and (not distribution or canonical(plugin.distribution) == canonical(distribution))
    ]
    if not found and not distribution:
        found = [p for p in registry.plugins if canonical(p.distribution) == canonical(name)]
    if not found:
        known = [plugin.name for plugin in registry.plugins]
        hint = did_you_mean(name, known)
        raise NotFound(f"no plugin '{name}'.{hint} See: palestra plugins ls")
    if len(found) > 1:
        choices = " or ".join(f"'{plugin.distribution}:{plugin.name}'" for plugin in found)
        raise ConfigError(f"'{name}' is {len(found)} plugins. Write {choices}")
    return found[0]


def _details(registry: Registry, plugin: LoadedPlugin) -> dict[str, object]:
    return {
        **_as_dict(registry, plugin),
        **_about(plugin.distribution),
        "trace": plugin.trace,
        "hooks": list(plugin.hooks),
        "brings": [_spec_details(registry, plugin, kind, spec) for kind, spec in plugin.specs],
    }


def _about(distribution: str) -> dict[str, str]:
    """Return what a distribution's metadata say of it."""
    from importlib.metadata import metadata

    summary = homepage = ""
    with contextlib.suppress(Exception):  # metadata may be damaged in any way
        fields = metadata(distribution)
        urls = [str(line).partition(",") for line in fields.get_all("Project-URL") or ()]
        links = {label.strip().lower(): url.strip() for label, _, url in urls}
        summary = str(fields["Summary"] or "")
        homepage = str(fields["Home-page"] or links.get("homepage") or next(iter(links.values())))
    return {"summary": summary, "homepage": homepage}


def _spec_details(
    registry: Registry, plugin: LoadedPlugin, kind: Kind, spec: Spec
) -> dict[str, object]:
    missing: list[Unmet] = []
    problem = ""
    try:
        missing = unmet(spec.requires)
    except PalestraError as exc:
        problem = str(exc)
    return {
        "kind": kind.value,
        **asdict(spec),
        "config_keys": _config_keys(registry, plugin, kind, spec),
        "unmet": problem or [each.reason for each in missing],
    }


def _config_keys(
    registry: Registry, plugin: LoadedPlugin, kind: Kind, spec: Spec
) -> dict[str, str] | str:
    """Return each option of a component with its type and default; or why there is no telling."""
    if not spec.config:
        return {}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            config = registry.config(kind, f"{plugin.distribution}:{spec.name}")
    except PalestraError as exc:
        return str(exc)
    fields = config.model_fields if config else {}
    return {key: _option(field) for key, field in fields.items()}


def _option(field: FieldInfo) -> str:
    """Return type and default of an option, as ``int = 4``."""
    kind: object = field.annotation
    name = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
    if field.is_required():
        return f"{name} (required)"
    return name if field.default_factory else f"{name} = {field.default!r}"


def _print_details(document: dict[str, object]) -> None:
    specs, trace = document.pop("brings"), str(document.pop("trace"))
    for key in ("counts", "observes"):  # the specs and the hooks say it
        document.pop(key)
    _print_fields(document, indent=0)
    if trace:
        typer.echo("\n" + visible(trace))
    for spec in specs if isinstance(specs, list) else []:
        fields: dict[str, object] = dict(spec)
        typer.echo(f"\n{one_line(str(fields.pop('kind')))} {one_line(str(fields.pop('name')))}")
        _print_fields(fields, indent=2)


def _print_fields(fields: dict[str, object], *, indent: int) -> None:
    """Print what is not empty, a line each; of a mapping a line for each of its keys."""
    width = max(len(key) for key in fields) + 2
    for key, value in fields.items():
        if value is None or value in ("", [], (), {}):
            continue
        if isinstance(value, dict):
            lines = [f"{k}: {v}" for k, v in value.items()]
        elif isinstance(value, (list, tuple)):
            lines = [", ".join(map(str, value))]
        else:
            lines = [str(value)]
        for number, line in enumerate(lines):
            label = "" if number else key.replace("_", " ")
            typer.echo(f"{'':{indent}}{label:<{width}}{one_line(line)}")


app.command("install")(install)
app.command("uninstall")(uninstall)
app.command("new")(new)
app.command("doctor")(doctor)
