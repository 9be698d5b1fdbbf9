"""Finding the installed plugins: a broken one is a line in a table, never the end of a command.

Installed plugins are the entry points of the group `palestra`. What each of them brings is read in
a process of its own (`probe`) and kept (`cache`), so that a command imports none of them before it
uses it. Whatever a plugin does wrong is its own state `broken`, with the cause.

Environment variables: ``PALESTRA_PLUGINS`` (a comma list: load only these, and Palestra's own) and
``PALESTRA_BLOCK_PLUGINS`` (a comma list: do not load these); both take names of entry points or of
distributions. Processes that a command starts inherit them, and so load the same plugins.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from palestra.errors import did_you_mean
from palestra.plugins import cache
from palestra.plugins.facts import LoadedPlugin
from palestra.plugins.installed import Installed, Point, canonical, installed, is_builtin
from palestra.plugins.probe import PROBING, Job, Probed, probe

_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """What `discover` found.

    Attributes:
        plugins: the plugins, broken ones too, without those that the variables leave out.
        namespaces: the names of all installed plugins, which are not for local files.
    """

    plugins: tuple[LoadedPlugin, ...]
    namespaces: frozenset[str]


def discover(*, anew: bool = False) -> Discovered:
    """Return the installed plugins; those that are not in the cache are looked at first.

    Args:
        anew: look at all of them, whatever the cache has.
    """
    choice = _Choice()
    found = installed()
    plugins: list[LoadedPlugin] = []
    jobs: list[Job] = []
    known: dict[str, dict[Point, LoadedPlugin]] = {}
    for each in found:
        if each.error:
            plugins.append(_broken(each.name, each.error, each))
        wanted = [point for point in each.points if choice.takes(each, point)]
        known[each.name] = {} if anew or not wanted else cache.read(each)
        unknown = tuple(point for point in wanted if point not in known[each.name])
        plugins += [known[each.name][point] for point in wanted if point in known[each.name]]
        if unknown and PROBING not in os.environ:
            jobs.append(Job(installed=each, points=unknown))
    for probed in _probe_aloud(jobs) if jobs else ():
        plugins += [*probed.plugins, *probed.unseen]
        each = probed.job.installed
        cache.write(each, [*known[each.name].values(), *probed.plugins])
    plugins += choice.missing(found)
    return Discovered(
        plugins=tuple(sorted(plugins, key=lambda p: (p.distribution, p.name, p.module))),
        namespaces=frozenset(point.name for each in found for point in each.points),
    )


def _probe_aloud(jobs: Sequence[Job]) -> Iterator[Probed]:
    """Probe, and say so where the user would wonder what takes so long."""
    count = sum(len(job.points) for job in jobs)
    what = "1 new plugin" if count == 1 else f"{count} new plugins"
    timer = threading.Timer(_PATIENCE_S, print, [f"looking at {what}"], {"file": sys.stderr})
    timer.daemon = True
    timer.start()
    try:
        yield from probe(jobs)
    finally:
        timer.cancel()


class _Choice:
    """What the environment variables leave in."""

    def __init__(self) -> None:
        self._only = _names_in("PALESTRA_PLUGINS")
        self._blocked = _names_in("PALESTRA_BLOCK_PLUGINS") or set()

    def takes(self, each: Installed, point: Point) -> bool:
        """Whether a plugin is to be loaded."""
        names = {canonical(point.name), canonical(each.name)}
        if names & self._blocked:
            return False
        return self._only is None or bool(names & self._only) or is_builtin(each.name, point.name)

    def missing(self, found: Sequence[Installed]) -> list[LoadedPlugin]:
        """Return a broken plugin for each name of ``PALESTRA_PLUGINS`` that nothing has."""
        known = {canonical(each.name) for each in found}
        known |= {canonical(point.name) for each in found for point in each.points}
        return [
            _broken(
                name,
                "PALESTRA_PLUGINS names it, but nothing of that name is installed."
                + did_you_mean(name, known),
            )
            for name in sorted((self._only or set()) - known)
        ]


def _names_in(variable: str) -> set[str] | None:
    listed = os.environ.get(variable)
    return None if listed is None else {canonical(n) for n in listed.split(",") if n.strip()}


def _broken(name: str, error: str, each: Installed | None = None) -> LoadedPlugin:
    return LoadedPlugin(
        name=name,
        distribution=each.name if each else "",
        version=each.version if each else "",
        module="",
        state="broken",
        error=error,
    )
