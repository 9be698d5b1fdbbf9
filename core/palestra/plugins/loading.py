"""Importing a plugin and reading what it declares: nothing that it does wrong gets out.

`load_installed` runs in a probe's process, `load_file` in the command's: a local file was named by
the user, and is a plugin without being installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Collection, Iterable, Iterator
from importlib.metadata import EntryPoint, requires
from pathlib import Path
from types import ModuleType

from palestra.errors import ConfigError, PalestraError, PluginError
from palestra.plugins.facts import LoadedPlugin
from palestra.plugins.hooks import PluginManager
from palestra.plugins.installed import GROUP, Point, is_builtin
from palestra.plugins.kinds import Kind
from palestra.plugins.requirements import pip_line, unmet
from palestra.plugins.specs import EnvironmentSpec, Spec
from palestra.plugins.validation import checked, namespace_of, spec_list

_ROOM = str(Path(__file__).parent)
_ERROR_CHARACTERS = 2_000
_TRACE_LINES = 24


def load_installed(point: Point, distribution: str, version: str) -> LoadedPlugin:
    """Import an installed plugin into this process, and return what it is and brings.

    Whatever it raises, `KeyboardInterrupt` and `SystemExit` too, is the result's state and error.

    Args:
        point: its entry point.
        distribution: what brings it.
        version: the distribution's version.
    """
    specs: list[tuple[Kind, Spec]] = []
    hooks: tuple[str, ...] = ()
    error = trace = ""
    try:
        manager = PluginManager()
        name = registered_name(point, distribution)
        module = import_point(point)
        manager.add(module, name)
        hooks = manager.hooks_of(name)
        specs.extend(_declared(manager, name))
        specs = [(kind, checked(kind, spec)) for kind, spec in specs]
        _check_names(specs)
        if not is_builtin(distribution, point.name):
            _check_owned(specs, point.name)
    except BaseException as exc:
        error, trace = _explain(exc, point, distribution), _last_lines(exc)
    return LoadedPlugin(
        name=point.name,
        distribution=distribution,
        version=version,
        module=point.value,
        state="broken" if error else "ok",
        error=error,
        trace=trace,
        specs=() if error else tuple(specs),
        hooks=() if error else hooks,
        claims=frozenset(str(spec.name) for _, spec in specs),
    )


def load_file(manager: PluginManager, path: Path, owned: Collection[str]) -> LoadedPlugin:
    """Import a Python file and take its hooks, and its marked environments, as a plugin.

    Args:
        manager: what its hooks are registered with.
        path: a ``.py`` file.
        owned: the namespaces of installed plugins, which are not for local files.

    Raises:
        ConfigError: there is no such file, or it is no Python file.
        PluginError: the file is broken; the error names its line.
    """
    if path.suffix != ".py" or not path.is_file():
        raise ConfigError(f"no plugin file at {path} (a plugin file is a .py file)")
    where = path.resolve()
    name = local_module_name(where)
    manager.discard(name)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            module = _import_file(where)
            manager.add(module, name)
            specs = list(_declared(manager, name))
            specs += [(Kind.ENVIRONMENT, spec) for spec in _marked(module)]
        specs = [(kind, checked(kind, spec)) for kind, spec in specs]
        _check_names(specs)
        _check_free(specs, owned)
    except KeyboardInterrupt:
        manager.discard(name)
        raise
    except BaseException as exc:
        manager.discard(name)
        raise PluginError(_explain_file(exc, path, where)) from exc
    return LoadedPlugin(
        name=where.name,
        distribution=where.name,
        version="",
        module=name,
        state="ok",
        specs=tuple(specs),
        hooks=manager.hooks_of(name),
        claims=frozenset(spec.name for _, spec in specs),
        path=where,
    )


def import_point(point: Point) -> ModuleType:
    """Import the module that an entry point names.

    Raises:
        PluginError: it names no module. Whatever else its import raises, it raises.
    """
    if not EntryPoint.pattern.match(point.value):
        raise PluginError(
            f"the entry point '{point.name} = {point.value}' names no module, as 'package.module'"
        )
    found = EntryPoint(point.name, point.value, GROUP).load()
    if not isinstance(found, ModuleType):
        raise PluginError(
            f"the entry point '{point.name} = {point.value}' should name a module, "
            f"not a {type(found).__name__}"
        )
    return found


def registered_name(point: Point, distribution: str) -> str:
    """Return the name under which pluggy knows a plugin: unique, whatever others call theirs."""
    return f"{distribution}:{point.name}:{point.value}"


def local_module_name(path: Path) -> str:
    """Return the module name of a local file: readable, and unique to its path."""
    stem = re.sub(r"\W", "_", path.stem)
    return f"palestra_local_{stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"


# -- what it declares ---------------------------------------------------------------------------


def _declared(manager: PluginManager, name: str) -> Iterator[tuple[Kind, Spec]]:
    for kind in Kind:
        for owner, call in manager.implementations(kind.hook):
            if owner == name:
                for spec in spec_list(kind, call({})):
                    yield kind, spec


def _marked(module: ModuleType) -> Iterator[EnvironmentSpec]:
    """Make specs of the classes that `@single_turn` or `@environment` named in a local file."""
    for attribute, value in list(vars(module).items()):
        if not isinstance(value, type) or value.__module__ != module.__name__:
            continue
        env_id = vars(value).get("env_id")
        if isinstance(env_id, str) and env_id:
            turns = getattr(value, "max_turns", 1)
            yield EnvironmentSpec(
                name=env_id,
                entry_point=f"{module.__name__}:{attribute}",
                summary=(inspect.cleandoc(value.__doc__ or "").splitlines() or [""])[0],
                max_turns=turns if isinstance(turns, int) else 1,
            )


def _check_names(specs: Iterable[tuple[Kind, Spec]]) -> None:
    seen: set[tuple[Kind, str]] = set()
    for kind, spec in specs:
        if (kind, spec.name) in seen:
            raise PluginError(f"{kind.label} '{spec.name}' is declared twice")
        seen.add((kind, spec.name))


def _check_owned(specs: Iterable[tuple[Kind, Spec]], name: str) -> None:
    for kind, spec in specs:
        if kind is Kind.ENVIRONMENT and namespace_of(spec.name, name) != name:
            raise PluginError(
                f"environment '{spec.name}': the namespace should be the name of the "
                f"entry point, '{name}'"
            )


def _check_free(specs: Iterable[tuple[Kind, Spec]], owned: Collection[str]) -> None:
    for kind, spec in specs:
        if kind is Kind.ENVIRONMENT and (taken := namespace_of(spec.name, "my")) in owned:
            raise PluginError(
                f"environment '{spec.name}': an installed plugin owns the namespace '{taken}'. "
                "Choose another one"
            )


def _import_file(path: Path) -> ModuleType:
    name = local_module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


# -- what went wrong ----------------------------------------------------------------------------


def describe(exc: BaseException) -> str:
    """Return what was raised, in words for people; its own text may be anything, or raise."""
    if isinstance(exc, SystemExit):
        return f"SystemExit: its module called sys.exit({exc.code!r})"
    try:
        text = str(exc)
    except Exception:
        text = "(its text cannot be read)"
    if not isinstance(exc, PalestraError):
        text = f"{type(exc).__name__}: {text}"
    return text if len(text) <= _ERROR_CHARACTERS else f"{text[:_ERROR_CHARACTERS]} …"


def _explain(exc: BaseException, point: Point, distribution: str) -> str:
    """Describe what a plugin raised; for a module that is missing, say whose fault it is."""
    if not isinstance(exc, ModuleNotFoundError) or not exc.name:
        return describe(exc)
    module = point.value.partition(":")[0].strip()
    if module == exc.name or module.startswith(f"{exc.name}."):
        return (
            f"the entry point '{point.name} = {point.value}' names a module that is not there "
            f"({describe(exc)})"
        )
    missing = []
    with contextlib.suppress(Exception):  # no metadata, or none that can be read
        missing = unmet(requires(distribution) or ())
    return f"{describe(exc)}. {pip_line(missing) if missing else _undeclared(distribution)}"


def _undeclared(distribution: str) -> str:
    return f"Install what provides it ({distribution} does not say what that is)"


def _explain_file(exc: BaseException, path: Path, where: Path) -> str:
    """Say ``plugin file PATH:LINE: what``; the line is that of the file itself."""
    if isinstance(exc, SyntaxError) and exc.filename == str(where):
        text = (exc.text or "").strip()
        return f"plugin file {path}:{exc.lineno}: {exc.msg}" + (f": {text}" if text else "")
    frames = traceback.extract_tb(exc.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(where)]
    return f"plugin file {path}{f':{lines[-1]}' if lines else ''}: {describe(exc)}"


def _last_lines(exc: BaseException) -> str:
    """Return the end of a traceback, without the frames of who imported the plugin."""
    try:
        report = traceback.TracebackException.from_exception(exc)
        cause: traceback.TracebackException | None = report
        while cause is not None:
            own = [
                f for f in cause.stack if not f.filename.startswith((_ROOM, "<frozen importlib"))
            ]
            cause.stack = traceback.StackSummary.from_list(own)
            cause = cause.__cause__ or cause.__context__
        lines = "".join(report.format()).splitlines()
    except Exception:  # an exception of the plugin's making may do anything when it is looked at
        return ""
    return "\n".join(line[:300] for line in lines[-_TRACE_LINES:])
