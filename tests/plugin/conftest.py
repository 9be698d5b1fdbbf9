"""Fake distributions: a module and a dist-info folder, found as an installed package is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from palestra.plugins.registry import LoadedPlugin, Registry, get_registry, reset_registry

_numbers = itertools.count()

ENVIRONMENT = """
from palestra import EnvironmentSpec, Task, single_turn

@single_turn("{namespace}/Add-v1")
def add(rng, difficulty):
    a, b = rng.integers(100, size=2)
    return Task(prompt=f"What is {{a}} + {{b}}?", reference=str(a + b))

def palestra_environments():
    return [EnvironmentSpec(name="{namespace}/Add-v1", entry_point=__name__ + ":add")]
"""


@dataclass(frozen=True)
class Fakes:
    """Where fake distributions are written, and what finds them."""

    folder: Path

    def install(
        self, distribution: str, source: str | None, *, name: str | None = None, metadata: str = ""
    ) -> str:
        """Write a distribution whose plugin has this source (None: no module at all)."""
        (module,) = self.install_several(
            distribution, {name or distribution: source}, metadata=metadata
        )
        return module

    def install_several(
        self, distribution: str, sources: dict[str, str | None], *, metadata: str = ""
    ) -> list[str]:
        """Write a distribution with a plugin for each of these names and sources."""
        modules = {name: f"fake_plugin_{next(_numbers)}" for name in sources}
        for name, source in sources.items():
            if source is not None:
                (self.folder / f"{modules[name]}.py").write_text(source)
        info = self.folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n{metadata}"
        )
        lines = "".join(f"{name} = {module}\n" for name, module in modules.items())
        (info / "entry_points.txt").write_text(f"[palestra]\n{lines}")
        return list(modules.values())

    def install_env(self, distribution: str, namespace: str | None = None) -> str:
        """Write a distribution that works, with the environment ``NAMESPACE/Add-v1``."""
        namespace = namespace or distribution
        return self.install(distribution, ENVIRONMENT.format(namespace=namespace), name=namespace)

    def registry(self) -> Registry:
        """Discover anew."""
        reset_registry()
        return get_registry()

    def plugin(self, name: str) -> LoadedPlugin:
        """Discover anew, and return one plugin."""
        return next(p for p in self.registry().plugins if p.name == name)


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fakes]:
    for variable in ("PALESTRA_PLUGINS", "PALESTRA_BLOCK_PLUGINS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PALESTRA_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield Fakes(folder)
    reset_registry()
