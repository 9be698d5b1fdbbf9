"""Finding plugins: each loaded on its own, so that a broken one is a line in a list, not a crash."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from palestra.errors import ConfigError, did_you_mean
from palestra.plugins import hookspecs
from palestra.plugins.specs import (
    API_VERSION,
    CurriculumSpec,
    EnvironmentSpec,
    PolicyOptimizerSpec,
    RewardModelSpec,
    SamplerSpec,
    SandboxSpec,
    Spec,
    StageSpec,
)

GROUP = hookspecs.PROJECT
PREFIX = f"{hookspecs.PROJECT}_"
RETURNS: dict[str, type[Spec]] = {
    "palestra_environments": EnvironmentSpec,
    "palestra_reward_models": RewardModelSpec,
    "palestra_policy_optimizers": PolicyOptimizerSpec,
    "palestra_samplers": SamplerSpec,
    "palestra_sandboxes": SandboxSpec,
    "palestra_curricula": CurriculumSpec,
    "palestra_stages": StageSpec,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One plugin, sound or broken.

    Attributes:
        name: of its entry point, which is the namespace of its environments.
        distribution: what pip calls the package; a path for a local file.
        version: of the distribution.
        error: why it is broken, or "".
        specs: what it brings.
        module: itself, with its observers.
    """

    name: str
    distribution: str
    version: str = ""
    error: str = ""
    specs: tuple[Spec, ...] = ()
    module: ModuleType | None = None


@dataclass(slots=True)
class Hooks:
    """The pluggy manager that observers are called through."""

    manager: pluggy.PluginManager = field(
        default_factory=lambda: pluggy.PluginManager(hookspecs.PROJECT)
    )

    def __post_init__(self) -> None:
        self.manager.add_hookspecs(hookspecs)


def discover() -> list[Plugin]:
    """Load every installed plugin, each on its own, in the order of distribution and name.

    ``PALESTRA_PLUGINS`` (only these) and ``PALESTRA_BLOCK_PLUGINS`` name entry points or
    distributions, separated by commas.
    """
    return [_load(point) for point in _chosen()]


def load_file(path: Path) -> Plugin:
    """Load a local file as a plugin: its hooks, and the environments that it marks.

    A class with an ``env_id`` (by `@single_turn` or `@environment`) needs no hook.

    Raises:
        ConfigError: there is no such file, or it cannot be imported.
    """
    if not path.is_file():
        raise ConfigError(f"plugins: no file {path}")
    name = f"palestra_local_{path.resolve().stem}_{abs(hash(str(path.resolve())))}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"plugins: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    plugin = Plugin(name=path.stem, distribution=str(path))
    try:
        spec.loader.exec_module(module)
        plugin = replace(plugin, specs=(*_specs(module), *_marked(module)), module=module)
    except (Exception, SystemExit) as exc:
        del sys.modules[name]
        raise ConfigError(f"plugins: {path}: {_cause(exc)}") from exc
    return plugin


def _chosen() -> Iterator[EntryPoint]:
    only, blocked = _listed("PALESTRA_PLUGINS"), _listed("PALESTRA_BLOCK_PLUGINS")
    points = {(_distribution(p), p.name, p.value): p for p in entry_points(group=GROUP)}
    for (distribution, name, _), point in sorted(points.items()):
        names = {distribution, name}
        if (only is None or names & only or name == GROUP) and not names & (blocked or set()):
            yield point


def _listed(variable: str) -> set[str] | None:
    value = os.environ.get(variable)
    return None if value is None else {n.strip() for n in value.split(",") if n.strip()}


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "?"


def _load(point: EntryPoint) -> Plugin:
    plugin = Plugin(
        name=point.name,
        distribution=_distribution(point),
        version=point.dist.version if point.dist is not None else "",
    )
    try:
        module = point.load()
        if not isinstance(module, ModuleType):
            raise TypeError(
                f"the entry point '{point.value}' must name a module, "
                f"not a {type(module).__name__}"
            )
        specs = _specs(module)
        for spec in specs:
            _check(spec, plugin)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # a plugin may raise anything, SystemExit included
        return replace(plugin, error=_cause(exc))
    return replace(plugin, specs=tuple(specs), module=module)


def _specs(module: ModuleType) -> list[Spec]:
    """Check the module's hooks, and return what they declare."""
    known = [n for n in vars(hookspecs) if n.startswith(PREFIX)]
    specs: list[Spec] = []
    for name, function in list(vars(module).items()):
        if not name.startswith(PREFIX) or not inspect.isfunction(function):
            continue
        if name not in known:
            raise ValueError(f"no hook '{name}'.{did_you_mean(name, known)}")
        allowed = inspect.signature(getattr(hookspecs, name)).parameters
        for argument in inspect.signature(function).parameters:
            if argument not in allowed:
                raise ValueError(
                    f"{name} takes no argument '{argument}'."
                    f"{did_you_mean(argument, allowed)} It may take: {', '.join(allowed) or '-'}"
                )
        if name in RETURNS:
            specs += _declared(name, function())
    return specs


def _declared(hook: str, returned: Any) -> list[Spec]:
    wanted = RETURNS[hook]
    if not isinstance(returned, list | tuple):
        raise TypeError(f"{hook} must return a list of {wanted.__name__}, not {returned!r}")
    for item in returned:
        if not isinstance(item, wanted):
            raise TypeError(f"{hook} must return {wanted.__name__}s, not {type(item).__name__}")
    return list(returned)


def _check(spec: Spec, plugin: Plugin) -> None:
    try:
        fits = API_VERSION in SpecifierSet(spec.api)
    except InvalidSpecifier as exc:
        raise ValueError(f"{spec.name}: api={spec.api!r} is no version range") from exc
    if not fits:
        raise ValueError(
            f"{spec.name} is written for plugin API {spec.api}; this Palestra has {API_VERSION}"
        )
    if isinstance(spec, EnvironmentSpec) and spec.name.partition("/")[0] != plugin.name:
        raise ValueError(
            f"environment '{spec.name}' must be in the namespace of its entry point: "
            f"'{plugin.name}/...'"
        )


def _marked(module: ModuleType) -> list[EnvironmentSpec]:
    """Return specs for the environment classes that a local file defines and marks with an id."""
    return [
        EnvironmentSpec(
            name=value.env_id,
            entry_point=f"{module.__name__}:{name}",
            summary=(inspect.getdoc(value) or "").partition("\n")[0],
        )
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and value.__module__ == module.__name__
        and getattr(value, "env_id", "")
    ]


def _cause(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
