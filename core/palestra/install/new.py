"""A plugin package to begin from: the template that comes with Palestra, filled in."""

from __future__ import annotations

import re
from importlib.resources import as_file, files
from pathlib import Path

from palestra.errors import ConfigError
from palestra.install.targets import PREFIX
from palestra.plugins.registry import get_registry

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new_package(name: str, folder: Path | None = None) -> Path:
    """Write a complete package ``palestra-NAME``: environment, tests, licence, CI.

    Args:
        name: namespace of its environments.
        folder: where to write it; by default ``palestra-NAME`` here.

    Returns:
        The folder.

    Raises:
        ConfigError: the name will not do or is taken, the folder is in use, or copier is missing.
    """
    name = package_name(name)
    target = folder or Path(PREFIX + name)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(
            f"{target} is there already, and not empty. --output names another folder"
        )
    try:
        import copier
    except ModuleNotFoundError as exc:
        raise ConfigError("this needs copier. Run: pip install 'palestra[plugins]'") from exc
    with as_file(files("palestra") / "template") as template:
        copier.run_copy(str(template), target, data={"name": name}, defaults=True, quiet=True)
    return target


def package_name(name: str) -> str:
    """Return the namespace that `name` asks for, without the prefix ``palestra-``.

    Raises:
        ConfigError: it is no name for a package, or an installed plugin has it.
    """
    bare = name.removeprefix(PREFIX)
    if not _NAME.fullmatch(bare):
        raise ConfigError(
            f"'{name}' will not do: a name is lower-case letters, digits and single hyphens, "
            f"and begins with a letter.{_suggestion(bare)}"
        )
    for plugin in get_registry().plugins:
        if plugin.path is None and bare in (plugin.name, plugin.distribution):
            raise ConfigError(
                f"'{bare}' is taken: {plugin.origin} owns that namespace. Choose another name"
            )
    return bare


def _suggestion(name: str) -> str:
    near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f" Perhaps '{near}'?" if _NAME.fullmatch(near) else ""
