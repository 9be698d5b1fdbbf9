"""`Registry`: every component that plugins bring, by kind and name.

    registry = get_registry()
    env = registry.make_env("math/Arithmetic-v1")
    optimizer = registry.load(Kind.POLICY_OPTIMIZER, "grpo")

Two distributions may offer one name, or claim one namespace: neither wins, and ``DIST:name`` says
which is meant. Nothing of a plugin is imported before it is used, observers excepted.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from palestra.errors import (
    ConfigError,
    EnvironmentFailed,
    NotFound,
    PluginError,
    boundary,
    did_you_mean,
)
from palestra.plugins.discovery import discover
from palestra.plugins.facts import LoadedPlugin
from palestra.plugins.installed import Point, canonical
from palestra.plugins.kinds import OBSERVERS, Kind
from palestra.plugins.requirements import pip_line, unmet
from palestra.plugins.specs import EnvironmentSpec, Spec

if TYPE_CHECKING:
    from pydantic import BaseModel

    from palestra.envs.env import TextEnv
    from palestra.plugins.hooks import PluginManager

__all__ = [
    "Kind",
    "LoadedPlugin",
    "Registered",
    "Registry",
    "get_registry",
    "probe_registry",
    "reset_registry",
]

_NAMES_IN_AN_ERROR = 12
_log = logging.getLogger("palestra")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A spec, and who brings it.

    Attributes:
        spec: what the plugin declared.
        distribution: the installed distribution, or the name of a local file.
        plugin: the name of the plugin's entry point, or of the local file.
    """

    spec: Spec
    distribution: str
    plugin: str


class Registry:
    """The components of a list of plugins; `get_registry` has those that are installed."""

    def __init__(self, *, installed: bool = False, anew: bool = False) -> None:
        """Make a registry.

        Args:
            installed: take the installed plugins.
            anew: look at all of them anew, whatever is known of them from before.
        """
        self._plugins: list[LoadedPlugin] = []
        self._namespaces: frozenset[str] = frozenset()
        self._files: dict[Path, tuple[int, int]] = {}
        self._observing: set[str] = set()
        self._complained: set[tuple[str, str]] = set()
        self._by_name: dict[Kind, dict[str, list[Registered]]] = {kind: {} for kind in Kind}
        if installed:
            discovered = discover(anew=anew)
            self._plugins, self._namespaces = list(discovered.plugins), discovered.namespaces
        self._index()

    @cached_property
    def _manager(self) -> PluginManager:
        """pluggy's manager: of local files, and of the observers that were told something."""
        from palestra.plugins.hooks import PluginManager

        return PluginManager()

    @property
    def plugins(self) -> list[LoadedPlugin]:
        """Every plugin that was found, the broken ones too."""
        return list(self._plugins)

    @property
    def local_files(self) -> list[Path]:
        """The local files that were added: what a worker process has to add again."""
        return list(self._files)

    def add_local(self, path: Path | str) -> LoadedPlugin:
        """Add a Python file as a plugin; a file that has not changed is added once.

        Raises:
            ConfigError: there is no such file.
            PluginError: the file is broken, or claims a namespace that an installed plugin owns.
        """
        from palestra.plugins.loading import load_file

        path = Path(path).expanduser()
        where = path.resolve()
        stamp = (stat.st_mtime_ns, stat.st_size) if (stat := _stat(where)) else None
        old = next((plugin for plugin in self._plugins if plugin.path == where), None)
        if old is not None and self._files.get(where) == stamp:
            return old
        self._plugins = [plugin for plugin in self._plugins if plugin is not old]
        self._files.pop(where, None)
        try:
            plugin = load_file(self._manager, path, self._namespaces)
            self._plugins.append(plugin)
            if stamp:
                self._files[where] = stamp
        finally:
            self._index()
        return plugin

    # -- names ----------------------------------------------------------------------------------

    def names(self, kind: Kind) -> list[str]:
        """Return the names of a kind, sorted."""
        return sorted(self._by_name[kind])

    def specs(self, kind: Kind) -> list[Registered]:
        """Return all that is registered of a kind, sorted by name; two where two clash."""
        return [found for name in self.names(kind) for found in self._by_name[kind][name]]

    def find(self, kind: Kind, name: str) -> Registered:
        """Return what `name` stands for.

        Args:
            kind: the kind of component.
            name: its name, or ``DIST:name`` where two distributions offer it.

        Raises:
            NotFound: nothing has the name; the error says what is near, and why it may be missing.
            ConfigError: several distributions offer it, or claim its namespace.
        """
        distribution, _, bare = name.rpartition(":")
        found = self._by_name[kind].get(bare, [])
        if distribution:
            found = [
                r
                for r in found
                if canonical(r.distribution) == canonical(distribution) or r.plugin == distribution
            ]
        if not found:
            raise self._not_found(kind, name, bare)
        if not distribution and kind is Kind.ENVIRONMENT:
            self._check_namespace(bare, found)
        if len(found) > 1:
            offered = " and ".join(r.distribution for r in found)
            choices = " or ".join(f"'{r.distribution}:{bare}'" for r in found)
            raise ConfigError(f"{kind.label} '{bare}' is offered by {offered}. Write {choices}")
        return found[0]

    # -- code -----------------------------------------------------------------------------------

    def load(self, kind: Kind, name: str) -> object:
        """Import what `name` stands for: a class or a factory.

        Raises:
            NotFound: nothing has the name.
            ConfigError: a distribution that it needs is not installed; the error has the pip line.
            PluginError: its module raised, or has no such object.
        """
        found = self.find(kind, name)
        _check_requirements(kind, found)
        return _resolve(kind, found, found.spec.entry_point)

    def config(self, kind: Kind, name: str) -> type[BaseModel] | None:
        """Import the pydantic model of a component's options; None where it takes none.

        Raises:
            NotFound: nothing has the name.
            PluginError: its module raised, or the object is no pydantic model.
        """
        from pydantic import BaseModel

        found = self.find(kind, name)
        if not found.spec.config:
            return None
        config = _resolve(kind, found, found.spec.config)
        if not isinstance(config, type) or not issubclass(config, BaseModel):
            raise PluginError(f"{_what(kind, found)}: {found.spec.config} is no pydantic model")
        return config

    def make_env(self, env_id: str, **kwargs: object) -> TextEnv:
        """Make an environment.

        Args:
            env_id: its id, or ``DIST:id``.
            kwargs: arguments of its constructor, on top of the spec's own.

        Raises:
            NotFound: nothing has the id.
            ConfigError: its constructor takes no such arguments, or needs others.
            EnvironmentFailed: its constructor raised, or made something else.
        """
        import gymnasium

        found = self.find(Kind.ENVIRONMENT, env_id)
        factory = cast("Any", self.load(Kind.ENVIRONMENT, env_id))
        spec = cast("EnvironmentSpec", found.spec)
        arguments = {**spec.kwargs, **kwargs}
        _check_arguments(_what(Kind.ENVIRONMENT, found), factory, arguments)
        with _foreign(EnvironmentFailed, f"{_what(Kind.ENVIRONMENT, found)}: cannot be made"):
            env = factory(**arguments)
            if not isinstance(env, gymnasium.Env):
                raise TypeError(f"{spec.entry_point} made a {type(env).__name__}, no gymnasium.Env")
            if not hasattr(env, "reference_completion"):
                raise TypeError(
                    f"{spec.entry_point} made a plain Gymnasium environment: wrap it in "
                    "palestra.PlainEnv, or mark its class with @palestra.environment"
                )
            env = cast("TextEnv", env)
            env.env_id = spec.name
            env.reward_range = spec.reward_range
            env.default_split = cast("Any", spec.splits[0])
        return env

    # -- observers ------------------------------------------------------------------------------

    def observers(self) -> list[str]:
        """Return the names of the plugins that observe runs, sorted."""
        return sorted(plugin.name for plugin in self._plugins if plugin.observes)

    def notify(self, hook: str, **kwargs: object) -> None:
        """Tell every observer of `hook`, one by one; what one raises is logged, never fatal.

        The first call imports the plugins that have the hook. The first failure of an observer is
        logged with its traceback, the others as one line.
        """
        assert hook in OBSERVERS, f"'{hook}' is no observer hook"
        observing = [plugin for plugin in self._plugins if hook in plugin.hooks]
        if not observing:
            return
        for plugin in observing:
            if plugin.path is None:
                self._import_observer(plugin)
        for owner, call in self._manager.implementations(hook):
            try:
                call(kwargs)
            except KeyboardInterrupt:
                raise
            except BaseException as exc:
                self._complain(owner, hook, exc)

    def _import_observer(self, plugin: LoadedPlugin) -> None:
        """Import an installed plugin's module and register its hooks; try it once."""
        from palestra.plugins.loading import import_point, registered_name

        point = Point(plugin.name, plugin.module)
        owner = registered_name(point, plugin.distribution)
        if owner in self._observing:
            return
        self._observing.add(owner)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                self._manager.add(import_point(point), owner)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:
            self._complain(owner, "import", exc)

    def _complain(self, owner: str, where: str, exc: BaseException) -> None:
        first = (owner, where) not in self._complained
        self._complained.add((owner, where))
        plugin = ":".join(owner.split(":")[:2])
        what = f"{plugin}: {where}: {type(exc).__name__}: {exc}"
        _log.warning("plugin %s (the run goes on)", what, exc_info=first)

    def claimants(self, namespace: str) -> list[str]:
        """Return the installed distributions that have environments in a namespace, sorted.

        More than one is a clash: ids of that namespace then need ``DIST:`` in front.
        """
        return sorted(self._claimants.get(namespace, ()))

    # -- the inside -----------------------------------------------------------------------------

    def _index(self) -> None:
        self._by_name = {kind: {} for kind in Kind}
        self._claimants: dict[str, set[str]] = {}
        for plugin in sorted(self._plugins, key=lambda p: (p.distribution, p.name)):
            for kind, spec in plugin.specs:
                registered = Registered(
                    spec=spec, distribution=plugin.distribution, plugin=plugin.name
                )
                self._by_name[kind].setdefault(spec.name, []).append(registered)
                if kind is Kind.ENVIRONMENT and plugin.path is None:
                    namespace = spec.name.partition("/")[0]
                    self._claimants.setdefault(namespace, set()).add(plugin.distribution)

    def _check_namespace(self, env_id: str, found: list[Registered]) -> None:
        """Refuse an id of a namespace that two packages claim: which one is meant, nobody knows."""
        namespace = env_id.partition("/")[0]
        claimants = self.claimants(namespace)
        if len(claimants) > 1:
            choices = " or ".join(f"'{r.distribution}:{env_id}'" for r in found)
            raise ConfigError(
                f"environment '{env_id}': {' and '.join(claimants)} both claim the namespace "
                f"'{namespace}'. Write {choices}"
            )

    def _not_found(self, kind: Kind, name: str, bare: str) -> NotFound:
        """Say what is near, what is installed, and which broken plugin may be the reason."""
        namespace = bare.partition("/")[0] if kind is Kind.ENVIRONMENT else ""
        cause: PluginError | None = None
        text = f"no {kind.label} '{name}'."
        for plugin in self._plugins:
            if plugin.state == "broken" and (bare in plugin.claims or plugin.name == namespace):
                origin = f" ({plugin.origin})" if plugin.origin else ""
                text += f" Plugin '{plugin.name}'{origin} is broken: {plugin.error.rstrip('.')}."
                cause = PluginError(f"{plugin.error}\n{plugin.trace}") if plugin.trace else cause
        text += did_you_mean(bare, self.names(kind))
        known = self.specs(kind)
        listed = ", ".join(f"{r.spec.name} ({r.distribution})" for r in known[:_NAMES_IN_AN_ERROR])
        more = len(known) - _NAMES_IN_AN_ERROR
        listed += f" and {more} more" if more > 0 else ""
        error = NotFound(f"{text} Installed: {listed or 'none'}. See: palestra plugins ls")
        error.__cause__ = cause
        return error


_lock = threading.RLock()
_registry: Registry | None = None


def get_registry() -> Registry:
    """Return this process's registry; the first call finds the installed plugins."""
    global _registry
    with _lock:
        if _registry is None:
            _registry = Registry(installed=True)
        return _registry


def reset_registry() -> None:
    """Forget this process's registry: the next `get_registry` looks again. For tests."""
    global _registry
    with _lock:
        _registry = None


def probe_registry() -> Registry:
    """Look at every installed plugin anew, and return what is this process's registry now."""
    global _registry
    with _lock:
        _registry = Registry(installed=True, anew=True)
        return _registry


def _what(kind: Kind, found: Registered) -> str:
    return f"{kind.label} '{found.spec.name}' ({found.distribution})"


@contextmanager
def _foreign(error: type[PluginError], what: str) -> Generator[None]:
    """`boundary`, for code that may also call `sys.exit`."""
    with boundary(error, what):
        try:
            yield
        except SystemExit as exc:
            raise RuntimeError(f"it called sys.exit({exc.code!r})") from exc


def _check_arguments(what: str, factory: Callable[..., object], given: dict[str, object]) -> None:
    """Refuse arguments that a constructor does not take: that is the caller's mistake, not its."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # some callables have none
        return
    try:
        signature.bind(**given)
    except TypeError as exc:
        empty = inspect.Parameter.empty
        takes = ", ".join(
            p.name if p.default is empty else f"{p.name}={p.default!r}"
            for p in signature.parameters.values()
        )
        raise ConfigError(f"{what}: {exc}. It takes: {takes or 'no arguments'}") from exc


def _resolve(kind: Kind, found: Registered, reference: str) -> object:
    module, _, attributes = reference.partition(":")
    with _foreign(PluginError, f"{_what(kind, found)}: cannot load {reference}"):
        value: object = importlib.import_module(module)
        for attribute in attributes.split("."):
            if not hasattr(value, attribute):
                hint = did_you_mean(attribute, dir(value))
                raise AttributeError(f"it has no '{attribute}'.{hint}")
            value = getattr(value, attribute)
        return value


def _check_requirements(kind: Kind, found: Registered) -> None:
    """Refuse a component whose `requires` are not installed, with the pip line that helps."""
    if not found.spec.requires:
        return
    try:
        missing = unmet(found.spec.requires)
    except PluginError as exc:
        raise PluginError(f"{_what(kind, found)} {exc}") from exc
    if missing:
        reasons = "; ".join(each.reason for each in missing)
        raise ConfigError(f"{_what(kind, found)} needs {reasons}. {pip_line(missing)}")


def _stat(path: Path) -> Any:
    try:
        return path.stat()
    except OSError:
        return None
