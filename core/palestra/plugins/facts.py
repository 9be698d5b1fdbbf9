"""`LoadedPlugin`: what is known of a plugin without importing it, and the same as JSON.

Plain data on purpose: a probe writes it in another process, a cache keeps it on disk, and nobody
unpickles what a plugin had a hand in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from palestra.plugins.kinds import OBSERVERS, Kind
from palestra.plugins.specs import Spec

_TUPLES = ("requires", "reward_range", "splits")


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
        trace: the last lines of the traceback of a broken one, "" where nothing was raised.
        timed_out: whether it is broken because its import took too long.
        specs: what it brings.
        hooks: the hooks that it implements.
        claims: every name that it declared, also where it was refused for one of them.
        path: the file of a local one.
    """

    name: str
    distribution: str
    version: str
    module: str
    state: Literal["ok", "broken"]
    error: str = ""
    trace: str = ""
    timed_out: bool = False
    specs: tuple[tuple[Kind, Spec], ...] = ()
    hooks: tuple[str, ...] = ()
    claims: frozenset[str] = frozenset()
    path: Path | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many specs it brings of each kind, by the value of the kind."""
        kinds = [kind for kind, _ in self.specs]
        return {kind.value: kinds.count(kind) for kind in Kind if kind in kinds}

    @property
    def observes(self) -> bool:
        """Whether it watches runs."""
        return any(hook in OBSERVERS for hook in self.hooks)

    @property
    def origin(self) -> str:
        """Distribution and version, as errors name them."""
        return f"{self.distribution} {self.version}".strip()


def to_json(plugin: LoadedPlugin) -> dict[str, object]:
    """Return an installed plugin's facts as what `json.dumps` takes."""
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "state": plugin.state,
        "error": plugin.error,
        "trace": plugin.trace,
        "timed_out": plugin.timed_out,
        "specs": [[kind.value, asdict(spec)] for kind, spec in plugin.specs],
        "hooks": list(plugin.hooks),
        "claims": sorted(plugin.claims),
    }


def from_json(facts: Mapping[str, Any]) -> LoadedPlugin:
    """Return what `to_json` was given.

    Raises:
        KeyError, TypeError, ValueError: the document is damaged.
    """
    if facts["state"] not in ("ok", "broken"):
        raise ValueError(f"no state of a plugin: {facts['state']!r}")
    fields: dict[str, Any] = dict(facts)
    fields["specs"] = tuple(_spec(kind, spec) for kind, spec in facts["specs"])
    fields["hooks"] = tuple(facts["hooks"])
    fields["claims"] = frozenset(facts["claims"])
    return LoadedPlugin(**fields)


def _spec(kind: str, facts: Mapping[str, Any]) -> tuple[Kind, Spec]:
    fields: dict[str, Any] = dict(facts)
    fields.update({key: tuple(fields[key]) for key in _TUPLES if key in fields})
    return Kind(kind), Kind(kind).spec_class(**fields)
