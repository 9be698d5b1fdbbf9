"""Mixtures within mixtures: an entry ``{mixture: NAME, weight: 2}`` becomes NAME's sources.

They share the entry's weight as they would share a step of their own. Their quotas and floors stay
as they are: those count prompts of the step, whoever draws it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from math import isfinite
from typing import Any, cast

from palestra.errors import ConfigError, did_you_mean
from palestra.recipe.document import Document, KeyPath

_KEYS = ("mixture", "weight")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A source, and the path that it was written at."""

    value: Any
    path: KeyPath


def flatten_mixtures(document: Document) -> None:
    """Put the sources of nested mixtures in the place of their entries.

    Raises:
        ConfigError: an entry names no mixture, or mixtures hold each other in a circle; one line
            for each, with file and line.
    """
    mixtures = document.data.get("mixtures")
    if not isinstance(mixtures, dict):
        return  # what is wrong with it is said when the recipe is validated
    table = cast("dict[str, Any]", mixtures)
    nested = {name: _sources(block) for name, block in table.items()}
    if not any(_is_nested(source) for sources in nested.values() for source in sources):
        return
    walk = _Walk(document, table, nested)
    flat = {name: walk.flat(name, ()) for name in nested}
    if walk.problems:
        raise ConfigError("\n".join(dict.fromkeys(walk.problems)))
    origins = dict(document.origins)
    for name, entries in flat.items():
        if not any(_is_nested(source) for source in nested[name]):
            continue
        table[name]["sources"] = [copy.deepcopy(entry.value) for entry in entries]
        place: KeyPath = ("mixtures", name, "sources")
        document.forget_below(place)
        for index, entry in enumerate(entries):
            depth = len(entry.path)
            for path, origin in origins.items():
                if path[:depth] == entry.path:
                    document.origins[(*place, index, *path[depth:])] = origin


def _sources(block: Any) -> list[Any]:
    sources: Any = cast("dict[str, Any]", block).get("sources") if isinstance(block, dict) else None
    return cast("list[Any]", sources) if isinstance(sources, list) else []


def _is_nested(source: Any) -> bool:
    return isinstance(source, dict) and "mixture" in source


class _Walk:
    """Collects problems on the way."""

    def __init__(
        self, document: Document, table: dict[str, Any], nested: dict[str, list[Any]]
    ) -> None:
        self.document, self.table, self.nested = document, table, nested
        self.problems: list[str] = []

    def report(self, path: KeyPath, message: str) -> None:
        self.problems.append(self.document.problem(path, message))

    def flat(self, name: str, above: tuple[str, ...]) -> list[_Entry]:
        """Return the sources of the mixture `name`, those of nested ones in their place."""
        entries: list[_Entry] = []
        for index, source in enumerate(self.nested[name]):
            path: KeyPath = ("mixtures", name, "sources", index)
            if not _is_nested(source):
                entries.append(_Entry(source, path))
            elif (inner := self._inner(path, source, (*above, name))) is not None:
                entries += _scaled(self.flat(inner, (*above, name)), source.get("weight", 1.0))
        return entries

    def _inner(self, path: KeyPath, entry: dict[str, Any], chain: tuple[str, ...]) -> str | None:
        """Check an entry, and return the mixture that it names."""
        before = len(self.problems)
        for key in entry:
            if key not in _KEYS:
                near = did_you_mean(key, _KEYS)
                message = f"unknown key '{key}'.{near} A nested mixture takes: {', '.join(_KEYS)}"
                self.report((*path, key), message)
        weight = entry.get("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            self.report((*path, "weight"), f"should be a number, not {weight!r}")
        elif not isfinite(weight) or weight < 0:
            self.report((*path, "weight"), f"should be a finite number of at least 0, not {weight}")
        inner, at = entry["mixture"], (*path, "mixture")
        if not isinstance(inner, str) or inner not in self.nested:
            near = did_you_mean(str(inner), self.nested)
            message = f"no mixture '{inner}'.{near} There is: {', '.join(self.nested)}"
            self.report(at, message)
        elif inner in chain:
            circle = " > ".join([*chain[chain.index(inner) :], inner])
            self.report(at, f"mixtures hold each other: {circle}")
        elif self.table[inner].get("curriculum") is not None:
            message = f"mixture '{inner}' has a curriculum of its own; a curriculum belongs to "
            self.report(at, message + f"the mixture that a stage draws from, here '{chain[0]}'")
        return inner if len(self.problems) == before else None


def _scaled(entries: list[_Entry], weight: float) -> list[_Entry]:
    """Let the entries share `weight` as their own weights say."""
    own = [_weight(entry.value) for entry in entries]
    total = sum(w for w in own if w is not None)
    out: list[_Entry] = []
    for entry, share in zip(entries, own, strict=True):
        if share is None or total <= 0:
            out.append(entry)  # a quota, or a mistake that validation names
        else:
            out.append(_Entry({**entry.value, "weight": weight * share / total}, entry.path))
    return out


def _weight(source: Any) -> float | None:
    if not isinstance(source, dict) or source.get("quota") is not None:
        return None
    value: Any = cast("dict[str, Any]", source).get("weight", 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value) if value >= 0 else None
