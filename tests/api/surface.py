"""The public surface as text: one line for each name that other people's packages may use.

``python -m tests.api.surface`` writes ``released.json``; do that when a version is released, and
only then: until the next release, what differs from it has to stand in CHANGELOG.md.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import palestra

RELEASED = Path(__file__).with_name("released.json")

MODULES = {
    "palestra": palestra.__all__,
    "palestra.testing": None,
    "palestra.errors": None,
    "palestra.plugins.hookspecs": None,
    "palestra.rewards.base": ("RewardModel", "Scored"),
    "palestra.optimizers.base": None,
    "palestra.optimizers.batch": ("Batch", "Outputs", "Loss"),
    "palestra.rollout.samplers.base": None,
    "palestra.stages.base": ("Stage", "StageContext", "StageResult"),
    "palestra.mixture.curriculum": ("Curriculum", "Outcome"),
}
"""Where plugin authors import from; None: every public name that the module itself defines."""


def surface() -> dict[str, str]:
    """Return ``{"palestra.Task.prompt": "str | list[Message]", ...}``."""
    return dict(sorted(_lines()))


def _lines() -> Iterator[tuple[str, str]]:
    for module_name, names in MODULES.items():
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError:
            continue
        for name in names if names is not None else _own(module):
            if not name.startswith("__") and hasattr(module, name):
                yield from _describe(f"{module_name}.{name}", getattr(module, name))


def _own(module: Any) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]


def _describe(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if not inspect.isclass(value):
        yield path, _signature(value)
        return
    yield path, "class(" + ", ".join(base.__name__ for base in value.__bases__) + ")"
    if issubclass(value, enum.Enum):
        for member in value:
            yield f"{path}.{member.name}", repr(member.value)
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            optional = field.default is not dataclasses.MISSING
            optional |= field.default_factory is not dataclasses.MISSING
            yield f"{path}.{field.name}", f"{field.type}{' = ...' if optional else ''}"
    for name, attribute in vars(value).items():
        if name.startswith("_") or isinstance(value, enum.EnumMeta):
            continue
        inner = getattr(attribute, "__func__", attribute)
        if inspect.isfunction(inner):
            yield f"{path}.{name}", _signature(inner)
        elif isinstance(attribute, property):
            yield f"{path}.{name}", "property"


def _signature(value: Any) -> str:
    try:
        return str(inspect.signature(value))
    except (TypeError, ValueError):
        return type(value).__name__


if __name__ == "__main__":
    RELEASED.write_text(json.dumps(surface(), indent=1) + "\n", encoding="utf-8")
