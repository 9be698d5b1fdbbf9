"""The registry: names to specs, and specs to the code behind them, on first use."""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from packaging.requirements import Requirement

from palestra.errors import (
    ConfigError,
    EnvironmentFailed,
    NotFound,
    PluginError,
    boundary,
    did_you_mean,
)
from palestra.plugins.discovery import Hooks, Plugin, discover, load_file
from palestra.plugins.hookspecs import hookimpl
from palestra.plugins.specs import (
    CurriculumSpec,
    EnvironmentSpec,
    PolicyOptimizerSpec,
    RewardModelSpec,
    SamplerSpec,
    SandboxSpec,
    Spec,
    StageSpec,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from palestra.envs import TextEnv

_LOG = logging.getLogger("palestra")
_ENV_ID = re.compile(r"[\w.-]+/[\w.-]+-v\d+")


class Kind(StrEnum):
    """What a plugin can bring; the value is what people call it."""

    ENVIRONMENT = "environment"
    REWARD_MODEL = "reward model"
    POLICY_OPTIMIZER = "policy optimizer"
    SAMPLER = "sampler"
    SANDBOX = "sandbox"
    CURRICULUM = "curriculum"
    STAGE = "stage type"


_KIND_OF: dict[type[Spec], Kind] = {
    EnvironmentSpec: Kind.ENVIRONMENT,
    RewardModelSpec: Kind.REWARD_MODEL,
    PolicyOptimizerSpec: Kind.POLICY_OPTIMIZER,
    SamplerSpec: Kind.SAMPLER,
    SandboxSpec: Kind.SANDBOX,
    CurriculumSpec: Kind.CURRICULUM,
    StageSpec: Kind.STAGE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A spec and the plugin it came from."""

    spec: Spec
    distribution: str
    plugin: str


class Registry:
    """Everything that plugins bring.

    Args:
        plugins: sound and broken ones.
    """

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.plugins: list[Plugin] = []
        self._entries: dict[Kind, dict[str, list[Registered]]] = {kind: {} for kind in Kind}
        self._hooks = Hooks()
        self._local: set[Path] = set()
        for plugin in plugins:
            self._add(plugin)

    def add_local(self, path: Path | str) -> None:
        """Load a local file's plugin, once.

        Raises:
            ConfigError: it cannot be loaded, or takes a namespace that an installed plugin owns.
        """
        place = Path(path).expanduser().resolve()
        if place in self._local:
            return
        plugin = load_file(place)
        owned = {p.name for p in self.plugins if p.module is not None}
        for spec in plugin.specs:
            namespace = spec.name.partition("/")[0]
            if isinstance(spec, EnvironmentSpec) and not _ENV_ID.fullmatch(spec.name):
                raise ConfigError(f"{path}: '{spec.name}' should be namespace/Name-vN")
            if isinstance(spec, EnvironmentSpec) and namespace in owned:
                raise ConfigError(
                    f"{path}: the namespace '{namespace}' belongs to an installed plugin; "
                    f"call '{spec.name}' otherwise"
                )
        self._local.add(place)
        self._add(plugin)

    def names(self, kind: Kind) -> list[str]:
        """Return the names registered for `kind`, sorted."""
        return sorted(self._entries[kind])

    def specs(self, kind: Kind) -> list[Registered]:
        """Return all specs of `kind`, by name."""
        return [r for name in self.names(kind) for r in self._entries[kind][name]]

    def find(self, kind: Kind, name: str) -> Registered:
        """Return what is registered as `name`; ``DIST:name`` settles a clash.

        Raises:
            NotFound: nothing is; the message has the nearest name, or the broken plugin.
            ConfigError: two distributions claim the name.
        """
        distribution, _, bare = name.rpartition(":")
        found = [
            r
            for r in self._entries[kind].get(bare, [])
            if distribution in ("", r.distribution, r.plugin)
        ]
        if len(found) > 1:
            owners = " and ".join(r.distribution for r in found)
            raise ConfigError(
                f"{kind} '{bare}' is claimed by {owners}. "
                f"Write '{found[0].distribution}:{bare}' or '{found[1].distribution}:{bare}'"
            )
        if not found:
            raise NotFound(self._missing(kind, name))
        return found[0]

    def load(self, kind: Kind, name: str) -> object:
        """Import and return the object behind a spec.

        Raises:
            PluginError: a requirement is not installed, or the import fails.
        """
        registered = self.find(kind, name)
        spec = registered.spec
        missing = [r for r in spec.requires if not _is_installed(r)]
        if missing:
            wanted = " ".join(f"'{r}'" for r in missing)
            raise PluginError(
                f"{kind} '{spec.name}' needs packages that are not installed. "
                f"Run: pip install {wanted}"
            )
        return _import(spec.entry_point, f"{kind} '{spec.name}' ({registered.distribution})")

    def config(self, kind: Kind, name: str) -> type[BaseModel] | None:
        """Return the model of a component's options, or None where it has none."""
        registered = self.find(kind, name)
        if not registered.spec.config:
            return None
        what = f"{kind} '{name}' ({registered.distribution})"
        return cast("type[BaseModel]", _import(registered.spec.config, what))

    def make_env(self, env_id: str, **kwargs: Any) -> TextEnv:
        """Return a new environment.

        Raises:
            EnvironmentFailed: its constructor raised.
        """
        registered = self.find(Kind.ENVIRONMENT, env_id)
        spec = cast("EnvironmentSpec", registered.spec)
        factory = cast("Any", self.load(Kind.ENVIRONMENT, env_id))
        with boundary(EnvironmentFailed, f"{spec.name} ({registered.distribution}): making it"):
            env = factory(**{**spec.kwargs, **kwargs})
        env.env_id = spec.name
        return cast("TextEnv", env)

    def notify(self, hook: str, **facts: Any) -> None:
        """Call an observer hook, plugin by plugin; what one raises is logged, never fatal."""
        for plugin in self.plugins:
            observer = getattr(plugin.module, hook, None)
            if observer is None:
                continue
            others = [p.module for p in self.plugins if p.module not in (None, plugin.module)]
            caller = self._hooks.manager.subset_hook_caller(hook, others)
            try:
                caller(**facts)
            except Exception as exc:
                _LOG.warning("plugin '%s': %s: %s: %s", plugin.name, hook, type(exc).__name__, exc)

    def _add(self, plugin: Plugin) -> None:
        self.plugins.append(plugin)
        if plugin.module is None:
            return
        if not self._hooks.manager.is_registered(plugin.module):
            self._register(plugin)
        for spec in plugin.specs:
            entry = Registered(
                spec=spec, distribution=plugin.distribution, plugin=plugin.name
            )
            self._entries[_KIND_OF[type(spec)]].setdefault(spec.name, []).append(entry)

    def _register(self, plugin: Plugin) -> None:
        """Register the module's observers, marked or not."""
        for name, value in vars(plugin.module).items():
            if name.startswith("palestra_") and callable(value):
                hookimpl(value)
        self._hooks.manager.register(plugin.module, f"{plugin.distribution}:{plugin.name}")

    def _missing(self, kind: Kind, name: str) -> str:
        known = self.names(kind)
        message = f"no {kind} '{name}'.{did_you_mean(name, known)}"
        for plugin in self.plugins:
            if plugin.error and plugin.name == name.partition("/")[0]:
                return f"{message} The plugin '{plugin.name}' is broken: {plugin.error}"
        if kind is Kind.ENVIRONMENT:
            return f"{message} See: palestra envs ls"
        brought = ", ".join(
            f"{r.spec.name} ({r.plugin})" for r in self.specs(kind)
        )
        return f"{message} Installed: {brought or 'none'}. See: palestra plugins ls"


@cache
def get_registry() -> Registry:
    """Return this process's registry; plugins load at the first call."""
    return Registry(discover())


def reset_registry() -> None:
    """Forget the registry, so that the next `get_registry` discovers anew (for tests)."""
    get_registry.cache_clear()


def _import(path: str, what: str) -> object:
    module, _, attribute = path.partition(":")
    with boundary(PluginError, what):
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            if not hasattr(found, part):
                raise AttributeError(
                    f"{path}: nothing is called '{part}' there.{did_you_mean(part, dir(found))}"
                )
            found = getattr(found, part)
        return cast("object", found)


def _is_installed(requirement: str) -> bool:
    wanted = Requirement(requirement)
    try:
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except PackageNotFoundError:
        return False
