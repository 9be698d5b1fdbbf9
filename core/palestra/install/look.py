"""Which plugins load, seen by a fresh process: this one may hold modules of an older version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from palestra.errors import PluginError
from palestra.install.installer import last_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A plugin as ``palestra plugins ls --json`` lists it.

    Attributes:
        name: its entry point.
        distribution: what brings it.
        version: the distribution's.
        state: ``ok``, or why not.
        error: what is wrong with it.
        brings: kind and name of each of its specs.
        observes: whether it observes runs.
    """

    name: str
    distribution: str
    version: str
    state: str
    error: str
    brings: tuple[tuple[str, str], ...]
    observes: bool

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others."""
        return self.distribution, self.name


def look_at_plugins(*, anew: bool) -> list[Seen]:
    """List the plugins in a process of its own.

    Args:
        anew: trust nothing that is cached: a plugin may be broken by what it depends on.

    Raises:
        PluginError: the listing itself fails.
    """
    with tempfile.TemporaryDirectory(prefix="palestra-") as folder:
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
        if anew:
            environment["PALESTRA_CACHE"] = folder
        done = subprocess.run(
            [sys.executable, "-m", "palestra.cli.main", "plugins", "ls", "--json"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    if done.returncode:
        raise PluginError(f"plugins can no longer be listed: {last_error(done.stderr)}")
    listed: list[dict[str, Any]] = json.loads(done.stdout)
    return [_seen(plugin) for plugin in listed]


def _seen(plugin: dict[str, Any]) -> Seen:
    return Seen(
        name=plugin["name"],
        distribution=plugin["distribution"],
        version=plugin["version"],
        state=plugin["state"],
        error=str(plugin["error"]).rstrip("."),
        brings=tuple((spec["kind"], spec["name"]) for spec in plugin["brings"]),
        observes=bool(plugin["observes"]),
    )
