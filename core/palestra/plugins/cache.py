"""What probes found, kept between commands as one small JSON file for each distribution.

The folder is ``$PALESTRA_CACHE/plugins``, else ``palestra/plugins`` in the user's cache folder.
Files are renamed into place, so commands that run at once never read half a file; one that is
damaged or out of date counts as not there; and where nothing can be written, nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from palestra.plugins.facts import LoadedPlugin, from_json, to_json
from palestra.plugins.installed import Installed, Point

_KEPT_DAYS = 90


def cache_folder() -> Path | None:
    """Return where the cache is, or None where the user has no home."""
    if chosen := os.environ.get("PALESTRA_CACHE"):
        return Path(chosen).expanduser() / "plugins"
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(xdg):  # the specification says to ignore others
        return Path(xdg) / "palestra" / "plugins"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "palestra/plugins"


def read(installed: Installed) -> dict[Point, LoadedPlugin]:
    """Return what is known of a distribution's plugins, as it is now.

    A broken plugin may have been broken for want of another package: what is kept of it holds
    until anything is installed or removed. One whose import took too long is not tried again for
    that, since the trial is what costs.
    """
    path = _path(installed)
    if path is None:
        return {}
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        if document["stamp"] != installed.stamp:
            return {}
        kept = {Point(p["name"], p["module"]): from_json(p) for p in document["plugins"]}
        lasting = document["surroundings"] == installed.surroundings
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {
        point: plugin
        for point, plugin in kept.items()
        if plugin.state == "ok" or plugin.timed_out or lasting
    }


def write(installed: Installed, plugins: Iterable[LoadedPlugin]) -> None:
    """Keep what is known of a distribution's plugins; where that cannot be, do nothing."""
    path = _path(installed)
    if path is None:
        return
    document = {
        "stamp": installed.stamp,
        "surroundings": installed.surroundings,
        "plugins": [to_json(plugin) for plugin in plugins],
    }
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                json.dump(document, file)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
        _forget_old(path.parent)


def _path(installed: Installed) -> Path | None:
    folder = cache_folder()
    if folder is None:
        return None
    where = json.dumps([installed.name, installed.location, sys.executable, sys.version])
    safe = "".join(c if c.isascii() and c.isalnum() else "_" for c in installed.name)[:80]
    return folder / f"{safe}-{hashlib.sha256(where.encode()).hexdigest()[:16]}.json"


def _forget_old(folder: Path) -> None:
    """Remove what was written long ago: most of it is of environments that are gone."""
    before = time.time() - _KEPT_DAYS * 24 * 3600
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.suffix in (".json", ".new") and path.stat().st_mtime < before:
                path.unlink()
