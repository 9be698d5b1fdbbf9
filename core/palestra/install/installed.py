"""What is installed now, and a copy of it to go back to."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.utils import canonicalize_name

GROUP = "palestra"

Versions = Mapping[str, str]
"""Version of each installed distribution, by its canonical name."""


def installed_versions() -> dict[str, str]:
    """Return the version of every distribution that this interpreter finds, looking anew."""
    importlib.invalidate_caches()
    found: dict[str, str] = {}
    for dist in distributions():
        with contextlib.suppress(Exception):  # damaged metadata of somebody else's package
            found.setdefault(canonicalize_name(dist.name), dist.version)
    return dict(sorted(found.items()))


def brings_plugin(name: str) -> bool:
    """Whether the installed distribution `name` has an entry point of the group `palestra`."""
    try:
        return bool(distribution(name).entry_points.select(group=GROUP))
    except Exception:
        return False


class Backup:
    """The files of some distributions, kept until an installation is known to be good.

    They are hard links where the disk allows it, so that keeping gigabytes costs nothing: an
    installer removes a file and writes another, and the link keeps the old content.

    Args:
        names: the distributions to keep.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._folder = _folder_beside_packages()
        self._kept: list[tuple[Path, Path]] = []
        for name in names:
            for file in _files(distribution(name)):
                kept = self._folder / str(len(self._kept))
                _link(file, kept)
                self._kept.append((file, kept))

    def restore(self) -> None:
        """Put every file back where it was."""
        for file, kept in self._kept:
            file.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
            _link(kept, file)

    def forget(self) -> None:
        """Remove the copies."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _folder_beside_packages() -> Path:
    for place in (sys.prefix, None):
        with contextlib.suppress(OSError):
            return Path(tempfile.mkdtemp(prefix=".palestra-undo-", dir=place))
    raise OSError(f"neither {sys.prefix} nor the folder for temporary files can be written")


def _files(dist: Distribution) -> list[Path]:
    listed = (Path(str(dist.locate_file(file))) for file in dist.files or ())
    return list(dict.fromkeys(Path(os.path.abspath(p)) for p in listed if p.is_file()))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)
