"""How plugins are found: what `tests/plugin` does not see of a whole distribution."""

from __future__ import annotations

from pathlib import Path

import pytest

from palestra.plugins.discovery import discover
from palestra.plugins.facts import LoadedPlugin
from palestra.plugins.loading import local_module_name


def install(
    folder: Path, distribution: str, entry_points: str, metadata: str | None = None
) -> None:
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
    (info / "METADATA").write_text(head if metadata is None else metadata)
    (info / "entry_points.txt").write_text(entry_points)


def found(name: str) -> LoadedPlugin:
    return next(p for p in discover().plugins if p.name == name)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PALESTRA_PLUGINS", raising=False)
    monkeypatch.delenv("PALESTRA_BLOCK_PLUGINS", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ("no_such_module_anywhere", "names a module that is not there"),
        ("json:NoSuchThing", "AttributeError"),
        ("json:JSONDecoder", "should name a module, not a type"),
        ("not a module!", "names no module, as 'package.module'"),
    ],
)
def test_an_entry_point_to_what_is_no_module_is_broken(site: Path, value: str, cause: str):
    install(site, "odd_one", f"[palestra]\nodd = {value}\n")
    plugin = found("odd")
    assert plugin.state == "broken"
    assert cause in plugin.error
    assert found("math").state == "ok"


def test_a_damaged_list_of_entry_points_is_a_broken_plugin_and_hides_no_other(site: Path):
    install(site, "damaged", "[palestra]\nthis line has no equals sign\n")
    assert found("damaged").error.startswith("its entry_points.txt cannot be read")
    names = [plugin.name for plugin in discover().plugins]
    assert {"palestra", "math", "logic"} <= set(names)


def test_a_distribution_without_metadata_is_no_crash(site: Path):
    install(site, "nameless", "[palestra]\nnameless = json\n", metadata="")
    assert found("nameless").state == "ok"


def test_a_distribution_found_twice_is_one_plugin(site: Path):
    for folder in (site, site / "again"):
        install(folder, "twice", "[palestra]\ntwice = json\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site / "again"))
        names = [plugin.name for plugin in discover().plugins]
    assert names.count("twice") == 1


def test_local_modules_have_names_of_their_own():
    one, other = (local_module_name(Path(p)) for p in ("/a/my env.py", "/b/my env.py"))
    assert one != other
    assert one.isidentifier()
