"""What a user may ask to install: a name, a short name, a folder, a wheel or an address."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from palestra.errors import ConfigError
from palestra.install.installed import Versions

PREFIX = "palestra-"
_ARCHIVES = (".whl", ".tar.gz", ".zip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing to install.

    Attributes:
        text: what the installer is given: a requirement, an address, or an absolute path.
        name: canonical name of the distribution; "" where only the installer can tell.
        otherwise: the name as it was typed, where `text` is ``palestra-NAME`` for a short one.
    """

    text: str
    name: str = ""
    otherwise: str = ""

    def as_typed(self) -> Target:
        """Return the same target without the prefix that a short name stands for."""
        return replace(self, text=self.otherwise, name=_name_of(self.otherwise), otherwise="")


def read_target(text: str, installed: Versions) -> Target:
    """Read what a user asks for.

    Args:
        text: a folder, an archive, an address, or a requirement such as ``palestra-chess>=2``.
        installed: what is there already: such a name is never a short one.

    Raises:
        ConfigError: it is neither, or a path to nothing.
    """
    path = Path(text).expanduser()
    if _is_path(text, path):
        return _local(text, path)
    if "://" in text:
        return Target(text=text)
    name = _name_of(text)
    if name == "palestra":
        raise ConfigError("that is Palestra itself. To change its version, use pip")
    if name.startswith(PREFIX) or name in installed:
        return Target(text=text, name=name)
    return Target(text=PREFIX + text, name=canonicalize_name(PREFIX + name), otherwise=text)


def _is_path(text: str, path: Path) -> bool:
    if "://" in text:
        return False
    spelled = os.sep in text or text.startswith((".", "~")) or text.endswith(_ARCHIVES)
    return spelled or (path / "pyproject.toml").is_file() or (path / "setup.py").is_file()


def _local(text: str, path: Path) -> Target:
    if not path.exists():
        raise ConfigError(f"no file or folder at {text}")
    where = str(path.resolve())
    if path.is_dir():
        if not any((path / name).is_file() for name in ("pyproject.toml", "setup.py")):
            raise ConfigError(f"{text} is no package: it has no pyproject.toml")
        return Target(text=where, name=_project_name(path / "pyproject.toml"))
    try:
        parse = parse_wheel_filename if path.suffix == ".whl" else parse_sdist_filename
        return Target(text=where, name=canonicalize_name(parse(path.name)[0]))
    except (InvalidWheelFilename, InvalidSdistFilename) as exc:
        raise ConfigError(f"{text} is neither a wheel nor a source archive: {exc}") from exc


def _project_name(file: Path) -> str:
    try:
        project: object = tomllib.loads(file.read_text(encoding="utf-8")).get("project")
    except FileNotFoundError:
        return ""
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{file}: {exc}") from exc
    name = cast("dict[str, Any]", project).get("name") if isinstance(project, dict) else None
    return canonicalize_name(name) if isinstance(name, str) else ""


def _name_of(text: str) -> str:
    try:
        return canonicalize_name(Requirement(text).name)
    except InvalidRequirement as exc:
        raise ConfigError(
            f"'{text}' is no name of a package: letters, digits, '-', '_' and '.', "
            "then perhaps a version, as 'palestra-chess>=2'"
        ) from exc
