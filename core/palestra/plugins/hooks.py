"""pluggy's manager with pytest's manners: unmarked functions count, and unknown hooks are errors.

Importing this module imports pluggy; a command that only lists plugins never does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pluggy

from palestra.errors import PluginError, did_you_mean
from palestra.plugins import hookspecs
from palestra.plugins.kinds import HOOKS

Call = Callable[[dict[str, object]], object]

_NO_OPTIONS: dict[str, object] = {
    "wrapper": False,
    "hookwrapper": False,
    "optionalhook": False,
    "tryfirst": False,
    "trylast": False,
    "specname": None,
}


class PluginManager(pluggy.PluginManager):
    """pluggy's manager, which takes unmarked hooks, refuses unknown ones, and adds one by one."""

    def __init__(self) -> None:
        super().__init__("palestra")
        self.add_hookspecs(hookspecs)

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

    def hooks_of(self, name: str) -> tuple[str, ...]:
        """Return the hooks that a registered plugin implements."""
        return tuple(
            hook for hook in HOOKS if name in (owner for owner, _ in self.implementations(hook))
        )

    def implementations(self, hook: str) -> list[tuple[str, Call]]:
        """Return, for each plugin that has `hook`, its registered name and how to call it.

        In pluggy's order: ``tryfirst`` before the others, who was added last before who was first.
        """
        found: list[tuple[str, Call]] = []
        for impl in reversed(getattr(self.hook, hook).get_hookimpls()):

            def call(kwargs: dict[str, object], impl: Any = impl) -> object:
                return impl.function(*[kwargs[name] for name in impl.argnames])

            found.append((impl.plugin_name, call))
        return found


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
