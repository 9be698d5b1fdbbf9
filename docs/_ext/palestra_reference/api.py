"""The hooks and the specs of the plugin API, as autodoc directives."""

from __future__ import annotations

from collections.abc import Iterable

from palestra.plugins.kinds import HOOKS, Kind
from palestra.plugins.specs import EnvironmentSpec, Spec


def hooks() -> str:
    """Return every hook, with its signature and docstring."""
    return _autodoc(f".. autofunction:: palestra.plugins.hookspecs.{hook}" for hook in HOOKS)


def specs() -> str:
    """Return every class of spec, with its fields."""
    classes = [Spec, EnvironmentSpec, *(kind.spec_class for kind in Kind)]
    names = dict.fromkeys(f"{each.__module__}.{each.__qualname__}" for each in classes)
    return _autodoc(f".. autoclass:: {name}\n   :show-inheritance:" for name in names)


def _autodoc(directives: Iterable[str]) -> str:
    lines = "\n\n".join(directives)
    return f"```{{eval-rst}}\n{lines}\n```"
