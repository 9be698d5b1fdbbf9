"""Finding plugins, each on its own: a broken one is a line in a table, never the end of a command.

Installed plugins are the entry points of the group `palestra`; local ones are Python files that a
recipe or a command names. Whatever a plugin does wrong (raise or call `sys.exit` on import,
misspell a hook, return something else than specs) is its own state `broken` with the cause, and
nothing of it stays registered.

Environment variables: ``PALESTRA_PLUGINS`` (a comma list: load only these, and Palestra's own) and
``PALESTRA_BLOCK_PLUGINS`` (a comma list: do not load these); both take names of entry points or of
distributions.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, distributions, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

import pluggy

from palestra.errors import ConfigError, PalestraError, PluginError, did_you_mean
from palestra.plugins import hookspecs
from palestra.plugins.kinds import Kind
from palestra.plugins.specs import API_VERSION, EnvironmentSpec, Spec

GROUP = "palestra"
OBSERVERS = ("palestra_run_started", "palestra_step_finished", "palestra_stage_finished")
HOOKS = (*(kind.hook for kind in Kind), *OBSERVERS)

_ENV_ID = re.compile(r"([A-Za-z0-9][\w-]*)/([A-Za-z0-9][\w.-]*)-v\d+", re.ASCII)
_PLAIN_NAME = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_ENTRY_POINT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_DEFAULT_API = ">=1,<2"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPlugin:
    """A plugin that was found, whether or not it could be loaded.

    Attributes:
        name: its entry point, which is the namespace of its environments; of a local file its name.
        distribution: the installed distribution that brings it; of a local file its name.
        version: the distribution's version, "" where there is none.
        module: the module that its entry point names.
        state: ``ok`` or ``broken``.
        error: what is wrong with a broken one, for people.
        specs: what it brings.
        claims: every name that it declared, also where it was refused for one of them.
        cause: what a broken one raised.
        path: the file of a local one.
    """

    name: str
    distribution: str
    version: str
    module: str
    state: Literal["ok", "broken"]
    error: str = ""
    specs: tuple[tuple[Kind, Spec], ...] = ()
    claims: frozenset[str] = frozenset()
    cause: BaseException | None = field(default=None, repr=False, compare=False)
    path: Path | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many specs it brings of each kind, by the value of the kind."""
        kinds = [kind for kind, _ in self.specs]
        return {kind.value: kinds.count(kind) for kind in Kind if kind in kinds}

    @property
    def origin(self) -> str:
        """Distribution and version, as errors name them."""
        return f"{self.distribution} {self.version}".strip()


class PluginManager(pluggy.PluginManager):
    """pluggy's manager, which takes unmarked hooks, refuses unknown ones, and loads one by one."""

    def __init__(self) -> None:
        super().__init__("palestra")
        self.add_hookspecs(hookspecs)
        self.namespaces: set[str] = set()

    # -- what a hook is -------------------------------------------------------------------------

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """Take marked functions, and any function named ``palestra_*``."""
        options: Any = super().parse_hookimpl_opts(plugin, name)
        unmarked = options is None and name.startswith("palestra_")
        if unmarked and inspect.isfunction(inspect.getattr_static(plugin, name, None)):
            return _NO_OPTIONS.copy()
        return options

    def add(self, module: ModuleType, name: str) -> None:
        """Register a module's hooks: all of them, or none.

        Raises:
            PluginError: an unknown hook, or an argument that its hook does not offer.
        """
        for attribute in dir(module):
            options = self.parse_hookimpl_opts(module, attribute)
            if options is not None:
                _check_hook(attribute, options, getattr(module, attribute))
        try:
            self.register(module, name)
        except BaseException:
            self.discard(name)
            raise

    def discard(self, name: str) -> None:
        """Take back whatever of the plugin is registered."""
        if self.get_plugin(name) is not None:
            self.unregister(name=name)

    def implementations(self, hook: str) -> list[tuple[str, Callable[[dict[str, object]], object]]]:
        """Return, for each plugin that has `hook`, its registered name and how to call it."""
        found: list[tuple[str, Callable[[dict[str, object]], object]]] = []
        for impl in getattr(self.hook, hook).get_hookimpls():

            def call(kwargs: dict[str, object], impl: Any = impl) -> object:
                return impl.function(*[kwargs[name] for name in impl.argnames])

            found.append((impl.plugin_name, call))
        return found

    # -- loading --------------------------------------------------------------------------------

    def load_installed(self) -> list[LoadedPlugin]:
        """Load the plugins of all installed distributions."""
        only = _names_in("PALESTRA_PLUGINS")
        blocked = _names_in("PALESTRA_BLOCK_PLUGINS") or set()
        points = {(_distribution(p), p.name, p.value): p for p in _points()}
        found = [(key[0], point) for key, point in sorted(points.items())]
        self.namespaces |= {point.name for _, point in found}
        plugins: list[LoadedPlugin] = []
        known: set[str] = set()
        for (distribution, version), point in found:
            names = {_canonical(point.name), _canonical(distribution)}
            known |= names
            wanted = only is None or bool(names & only) or _is_builtin(distribution, point.name)
            if not wanted or names & blocked:
                continue
            plugins.append(self._load(point.name, distribution, version, point.value, point.load))
        for name in sorted((only or set()) - known):
            hint = did_you_mean(name, known)
            error = f"PALESTRA_PLUGINS names it, but nothing of that name is installed.{hint}"
            plugins.append(_missing(name, error))
        return plugins

    def load_file(self, path: Path) -> LoadedPlugin:
        """Import a Python file and take its hooks, and its marked environments, as a plugin.

        Raises:
            ConfigError: there is no such file, or it is no Python file.
            PluginError: the file is broken.
        """
        if path.suffix != ".py" or not path.is_file():
            raise ConfigError(f"no plugin file at {path} (a plugin file is a .py file)")
        where = path.resolve()
        name = local_module_name(where)
        self.discard(registered_name(where.name, where.name, name))
        plugin = self._load(where.name, where.name, "", name, lambda: _import_file(where), where)
        if plugin.state == "broken":
            raise PluginError(f"plugin file {path}: {plugin.error}") from plugin.cause
        return plugin

    def _load(
        self,
        name: str,
        distribution: str,
        version: str,
        module: str,
        load: Callable[[], object],
        path: Path | None = None,
    ) -> LoadedPlugin:
        registered = registered_name(name, distribution, module)
        specs: list[tuple[Kind, Spec]] = []
        cause: BaseException | None = None
        try:
            with contextlib.redirect_stdout(sys.stderr):
                found = load()
                if not isinstance(found, ModuleType):
                    raise PluginError(
                        f"the entry point '{name} = {module}' should name a module, "
                        f"not a {type(found).__name__}"
                    )
                self.add(found, registered)
                for spec in self._declared(registered, found, local=path is not None):
                    specs.append(spec)
            self._check_specs(specs, name, distribution, local=path is not None)
        except KeyboardInterrupt:
            self.discard(registered)
            raise
        except BaseException as exc:
            self.discard(registered)
            cause = exc
        return LoadedPlugin(
            name=name,
            distribution=distribution,
            version=version,
            module=module,
            state="ok" if cause is None else "broken",
            error="" if cause is None else _describe(cause),
            specs=tuple(specs) if cause is None else (),
            claims=frozenset(spec.name for _, spec in specs),
            cause=cause,
            path=path,
        )

    def _declared(
        self, registered: str, module: ModuleType, *, local: bool
    ) -> Iterator[tuple[Kind, Spec]]:
        for kind in Kind:
            for owner, call in self.implementations(kind.hook):
                if owner == registered:
                    for spec in _spec_list(kind, call({})):
                        yield kind, spec
        if local:
            for spec in _marked(module):
                yield Kind.ENVIRONMENT, spec

    def _check_specs(
        self, specs: list[tuple[Kind, Spec]], name: str, distribution: str, *, local: bool
    ) -> None:
        seen: set[tuple[Kind, str]] = set()
        for kind, spec in specs:
            what = f"{kind.label} '{spec.name}'"
            if (kind, spec.name) in seen:
                raise PluginError(f"{what} is declared twice")
            seen.add((kind, spec.name))
            for key, reference in (("entry_point", spec.entry_point), ("config", spec.config)):
                if (reference or key == "entry_point") and not _ENTRY_POINT.fullmatch(reference):
                    raise PluginError(
                        f"{what}: {key} should be 'package.module:Object', not '{reference}'"
                    )
            _check_api(what, spec.api)
            if kind is not Kind.ENVIRONMENT:
                if not _PLAIN_NAME.fullmatch(spec.name):
                    raise PluginError(f"{what}: a name is letters, digits, '_', '-' and '.'")
                continue
            matched = _ENV_ID.fullmatch(spec.name)
            if not matched:
                raise PluginError(f"{what}: an id is 'namespace/Name-vN', as '{name}/Add-v1'")
            namespace = matched.group(1)
            if local:
                if namespace in self.namespaces:
                    raise PluginError(f"{what}: an installed plugin owns the namespace")
            elif namespace != name and not _is_builtin(distribution, name):
                raise PluginError(
                    f"{what}: the namespace should be the name of the entry point, '{name}'"
                )


def registered_name(name: str, distribution: str, module: str) -> str:
    """Return the name under which pluggy knows a plugin: unique, whatever others call theirs."""
    return f"{distribution}:{name}:{module}"


def local_module_name(path: Path) -> str:
    """Return the module name of a local file: readable, and unique to its path."""
    stem = re.sub(r"\W", "_", path.stem)
    return f"palestra_local_{stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"


_NO_OPTIONS: dict[str, object] = {
    "wrapper": False,
    "hookwrapper": False,
    "optionalhook": False,
    "tryfirst": False,
    "trylast": False,
    "specname": None,
}


def _check_hook(attribute: str, options: dict[str, Any], function: Callable[..., object]) -> None:
    name = str(options.get("specname") or attribute)
    if name not in HOOKS:
        raise PluginError(f"no hook '{name}'.{did_you_mean(name, HOOKS)} Hooks: {', '.join(HOOKS)}")
    if options.get("wrapper") or options.get("hookwrapper"):
        raise PluginError(f"{name}: hook wrappers are not supported")
    offered = tuple(inspect.signature(getattr(hookspecs, name)).parameters)
    for argument in inspect.signature(function).parameters.values():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            continue
        if argument.default is argument.empty and argument.name not in offered:
            takes = f"It offers: {', '.join(offered)}" if offered else "It offers none"
            raise PluginError(
                f"{name} has no argument '{argument.name}'."
                f"{did_you_mean(argument.name, offered)} {takes}"
            )


def _spec_list(kind: Kind, returned: object) -> list[Spec]:
    wanted = kind.spec_class
    if isinstance(returned, (str, Spec)) or not isinstance(returned, Iterable):
        raise PluginError(
            f"{kind.hook} should return a list of {wanted.__name__}, not {type(returned).__name__}"
        )
    specs = list(cast("Iterable[object]", returned))
    for spec in specs:
        if not isinstance(spec, wanted):
            raise PluginError(
                f"{kind.hook} should return a list of {wanted.__name__}, "
                f"but one item is of type {type(spec).__name__}"
            )
    return cast("list[Spec]", specs)


def _check_api(what: str, api: str) -> None:
    if api == _DEFAULT_API:
        return  # what nearly all specs say: saves importing packaging for each command
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        fits = SpecifierSet(api).contains(API_VERSION)
    except InvalidSpecifier as exc:
        raise PluginError(f"{what}: api '{api}' is no range of versions, as '>=1,<2'") from exc
    if not fits:
        raise PluginError(
            f"{what} was written for plugin API {api}, and this Palestra has {API_VERSION}. "
            "Install a version of the plugin that fits"
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


def _names_in(variable: str) -> set[str] | None:
    listed = os.environ.get(variable)
    return None if listed is None else {_canonical(n) for n in listed.split(",") if n.strip()}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def same_distribution(left: str, right: str) -> bool:
    """Whether two spellings name one distribution, as pip compares them."""
    return _canonical(left) == _canonical(right)


def _is_builtin(distribution: str, name: str) -> bool:
    return name == GROUP and _canonical(distribution) == GROUP


def _distribution(point: EntryPoint) -> tuple[str, str]:
    """Return name and version of what brings an entry point, however damaged its metadata."""
    try:
        assert point.dist is not None
        return str(point.dist.name), str(point.dist.version)
    except Exception:
        return f"unknown ({point.value})", ""


def _points() -> list[EntryPoint]:
    """Return the entry points of the group, also where some package's metadata are damaged."""
    try:
        return list(entry_points(group=GROUP))
    except Exception:  # one line of one package's entry_points.txt fails the whole search
        points: dict[tuple[str, str, str], EntryPoint] = {}
        for distribution in distributions():
            with contextlib.suppress(Exception):
                for point in distribution.entry_points.select(group=GROUP):
                    points.setdefault((distribution.name, point.name, point.value), point)
        return list(points.values())


def _missing(name: str, error: str) -> LoadedPlugin:
    return LoadedPlugin(
        name=name, distribution="", version="", module="", state="broken", error=error
    )


def _describe(exc: BaseException) -> str:
    if isinstance(exc, PalestraError):
        return str(exc)
    if isinstance(exc, SystemExit):
        return f"SystemExit: its module called sys.exit({exc.code!r})"
    return f"{type(exc).__name__}: {exc}"
