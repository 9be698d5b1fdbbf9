"""Which installed distributions bring plugins, from their metadata alone, and when they changed.

`Installed.stamp` changes when a plugin may have: with the distribution's RECORD, or, where files
are edited in place, with their sizes and times; with the versions of what it requires; and with
the interpreter and Palestra itself.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple

from palestra.plugins.specs import API_VERSION

GROUP = "palestra"


class Point(NamedTuple):
    """An entry point: a plugin's name, and the module that it names."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A distribution with entry points in the group `palestra`.

    Attributes:
        name: the distribution's name.
        version: its version, "" where its metadata have none.
        location: the folder that it is installed in.
        points: its plugins.
        stamp: changes when what the plugins declare may have changed.
        surroundings: changes when anything at all is installed, upgraded or removed.
        error: why its list of entry points cannot be read, for people.
    """

    name: str
    version: str
    location: str
    points: tuple[Point, ...]
    stamp: str
    surroundings: str
    error: str = ""


def installed() -> list[Installed]:
    """Return the distributions that bring plugins, each once, sorted by name.

    Of two of one name the first on `sys.path` counts, which is the one that Python imports.
    """
    importlib.invalidate_caches()  # what was installed a moment ago
    folders = metadata_folders()
    found: dict[str, Installed] = {}
    for distribution in distributions():
        text = _read(distribution, "entry_points.txt")
        if f"[{GROUP}]" not in re.sub(r"[ \t]", "", text):
            continue
        each = _look_at(distribution, text, folders)
        found.setdefault(canonical(each.name), each)
    return [found[name] for name in sorted(found)]


@functools.cache
def _own_stamp() -> str:
    """Return what stands for the interpreter, and for the code that reads and checks plugins."""
    room = Path(__file__).parent
    files = sorted(_sizes_and_times(room))
    return _hash([sys.executable, sys.version, API_VERSION, _palestra_version(), files])


def _palestra_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(GROUP)
    except PackageNotFoundError:  # run from a source tree
        return ""


def metadata_folders() -> dict[str, str]:
    """Return, for every installed distribution, the name of its folder of metadata.

    A folder's name has the version in it, so an upgrade shows; nothing is opened.
    """
    folders: dict[str, str] = {}
    for entry in map(str, sys.path):
        with contextlib.suppress(OSError):
            for name in os.listdir(entry or "."):
                if name.endswith((".dist-info", ".egg-info")):
                    folders.setdefault(canonical(name.split("-")[0]), name)
    return folders


def canonical(name: str) -> str:
    """Return a distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def is_builtin(distribution: str, name: str) -> bool:
    """Whether an entry point is Palestra's own first one, which no variable leaves out."""
    return name == GROUP and canonical(distribution) == GROUP


# -- one distribution ---------------------------------------------------------------------------


def _look_at(distribution: Distribution, text: str, folders: Mapping[str, str]) -> Installed:
    name = version = error = ""
    points: tuple[Point, ...] = ()
    requires: list[str] = []
    with contextlib.suppress(Exception):  # damaged metadata are no reason to lose a plugin
        metadata = distribution.metadata
        name, version = str(metadata["Name"] or ""), str(metadata["Version"] or "")
        requires = [str(line) for line in metadata.get_all("Requires-Dist") or ()]
    try:
        found = distribution.entry_points.select(group=GROUP)
        points = tuple(sorted({Point(p.name, p.value) for p in found}))
    except Exception as exc:  # importlib.metadata raises whatever the parser did
        error = f"its entry_points.txt cannot be read ({type(exc).__name__}: {exc})"
    if not name:
        name = f"unknown ({points[0].value})" if points else f"unknown ({_location(distribution)})"
    needed = {canonical(re.split(r"[^\w.-]", line.strip(), maxsplit=1)[0]) for line in requires}
    stamp = [
        _own_stamp(),
        [name, version, text, points],
        _content(distribution, points),
        sorted(f"{each} {folders.get(each)}" for each in needed),
    ]
    return Installed(
        name=name,
        version=version,
        location=_location(distribution),
        points=points,
        stamp=_hash(stamp),
        surroundings=_hash(sorted(folders.values())),
        error=error,
    )


def _content(distribution: Distribution, points: tuple[Point, ...]) -> object:
    """Return what changes with the distribution's files.

    A RECORD lists the hash of every file; it says nothing of an editable install's sources, nor is
    there always one. Then sizes and times of the Python files stand for them.
    """
    record = _read(distribution, "RECORD")
    if record and not _is_editable(distribution):
        return record
    modules = sorted({point.value.partition(":")[0].partition(".")[0].strip() for point in points})
    return [record, [sorted(_sources(module)) for module in modules]]


def _is_editable(distribution: Distribution) -> bool:
    """Whether pip or uv noted an editable install (PEP 610)."""
    try:
        return bool(json.loads(_read(distribution, "direct_url.json"))["dir_info"]["editable"])
    except (ValueError, KeyError, TypeError):
        return False


def _sources(module: str) -> Iterator[tuple[str, int, int]]:
    """Yield the Python files of a top-level module or package, found without importing it."""
    spec = None
    with contextlib.suppress(Exception):  # no such module, or a finder that raises
        spec = importlib.util.find_spec(module)
    if spec is None:
        return
    for folder in spec.submodule_search_locations or ():
        yield from _sizes_and_times(Path(folder))
    if spec.submodule_search_locations is None and spec.origin:
        with contextlib.suppress(OSError):
            yield _size_and_time(spec.origin)


def _sizes_and_times(folder: Path) -> Iterator[tuple[str, int, int]]:
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and name[0] != "."]
        for name in files:
            if name.endswith((".py", ".so")):
                with contextlib.suppress(OSError):
                    yield _size_and_time(os.path.join(root, name))


def _size_and_time(path: str) -> tuple[str, int, int]:
    stat = os.stat(path)
    return path, stat.st_size, stat.st_mtime_ns


def _location(distribution: Distribution) -> str:
    with contextlib.suppress(Exception):
        return os.path.abspath(str(distribution.locate_file("")))
    return ""


def _read(distribution: Distribution, name: str) -> str:
    with contextlib.suppress(Exception):  # unreadable, or in no encoding
        return distribution.read_text(name) or ""
    return ""


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
