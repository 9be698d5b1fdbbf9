"""What is known of a plugin is read once, and again when it may have changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from palestra.plugins import cache
from palestra.plugins.discovery import discover

SOURCE = """
import pathlib
with open({note!r}, "a") as note:
    note.write("x")
def palestra_samplers():
    from palestra import SamplerSpec
    return [SamplerSpec(name="{name}", entry_point="json:dumps")]
"""


@dataclass(frozen=True)
class Acme:
    """A distribution that notes each of its imports."""

    site: Path
    cache: Path

    @property
    def note(self) -> Path:
        return self.site.parent / "imports"

    @property
    def info(self) -> Path:
        return self.site / "acme-1.0.dist-info"

    @property
    def module(self) -> Path:
        return self.site / "acme_of_test.py"

    def write(self, name: str = "one", source: str = SOURCE) -> None:
        self.module.write_text(source.format(note=str(self.note), name=name))

    def looks(self) -> int:
        return len(self.note.read_text()) if self.note.exists() else 0

    def names(self, *, anew: bool = False) -> list[str]:
        plugins = {p.name: p for p in discover(anew=anew).plugins}
        return [spec.name for _, spec in plugins["acme"].specs]

    def file(self) -> Path:
        (path,) = self.cache.glob("plugins/acme-*.json")
        return path

    def install_another(self, name: str) -> None:
        info = self.site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Acme:
    for variable in ("PALESTRA_PLUGINS", "PALESTRA_BLOCK_PLUGINS"):
        monkeypatch.delenv(variable, raising=False)
    acme = Acme(tmp_path / "site", tmp_path / "cache")
    monkeypatch.setenv("PALESTRA_CACHE", str(acme.cache))
    monkeypatch.syspath_prepend(str(acme.site))
    acme.info.mkdir(parents=True)
    acme.write()
    (acme.info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (acme.info / "entry_points.txt").write_text(f"[palestra]\nacme = {acme.module.stem}\n")
    return acme


def test_a_plugin_is_looked_at_once(acme: Acme):
    assert [acme.names() for _ in range(3)] == [["one"]] * 3
    assert acme.looks() == 1
    assert acme.names(anew=True) == ["one"]
    assert acme.looks() == 2


def test_an_edit_is_noticed(acme: Acme):
    acme.names()
    acme.write("other")
    assert acme.names() == ["other"]


@pytest.mark.parametrize("url", ['{"url": "", "dir_info": {"editable": true}}', None])
def test_a_record_stands_for_the_files_unless_they_are_edited_in_place(acme: Acme, url: str | None):
    (acme.info / "RECORD").write_text("acme_of_test.py,sha256=abc,1\n")
    if url:
        (acme.info / "direct_url.json").write_text(url)
    acme.names()
    acme.write("other")
    assert acme.names() == (["other"] if url else ["one"])
    (acme.info / "RECORD").write_text("acme_of_test.py,sha256=def,1\n")
    assert acme.names() == ["other"]


def test_an_upgrade_of_what_it_requires_is_noticed_and_of_others_is_not(acme: Acme):
    with (acme.info / "METADATA").open("a") as file:
        file.write("Requires-Dist: needed.thing>=1 ; extra == 'all'\n")
    acme.names()
    acme.install_another("stranger")
    acme.names()
    assert acme.looks() == 1
    acme.install_another("needed_thing")
    acme.names()
    assert acme.looks() == 2


def test_a_broken_plugin_gets_another_look_when_something_is_installed(acme: Acme):
    acme.write(source=SOURCE + "import no_such_module_yet\n")
    assert acme.names() == []
    acme.names()
    assert acme.looks() == 1
    (acme.site / "no_such_module_yet.py").write_text("")
    acme.install_another("yet")
    assert acme.names() == ["one"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: text[: len(text) // 2],
        lambda text: b"\xff\x00" + text,
        lambda text: b"[]",
        lambda text: b"null",
        lambda text: json.dumps({**json.loads(text), "plugins": [{"name": "acme"}]}).encode(),
        lambda text: json.dumps({**json.loads(text), "plugins": 3}).encode(),
        lambda text: text.replace(b'"sampler"', b'"samplr"'),
        lambda text: text.replace(b'"entry_point"', b'"entry_pint"'),
    ],
)
def test_a_damaged_file_counts_as_none(acme: Acme, damage):
    acme.names()
    acme.file().write_bytes(damage(acme.file().read_bytes()))
    assert acme.names() == ["one"]
    assert acme.looks() == 2
    acme.names()
    assert acme.looks() == 2, "it was written anew"


def test_without_a_place_to_write_all_works_and_nothing_is_kept(
    acme: Acme, monkeypatch: pytest.MonkeyPatch
):
    (acme.site.parent / "file").write_text("")
    monkeypatch.setenv("PALESTRA_CACHE", str(acme.site.parent / "file"))
    assert [acme.names(), acme.names()] == [["one"], ["one"]]
    assert acme.looks() == 2


def test_what_a_variable_leaves_out_is_never_imported(acme: Acme, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PALESTRA_BLOCK_PLUGINS", "acme")
    discover()
    monkeypatch.delenv("PALESTRA_BLOCK_PLUGINS")
    monkeypatch.setenv("PALESTRA_PLUGINS", "math")
    discover()
    assert acme.looks() == 0


def test_commands_that_run_at_once_agree_and_leave_whole_files(acme: Acme):
    code = (
        "import json; from palestra.plugins.discovery import discover\n"
        "from palestra.plugins.facts import to_json\n"
        "print(json.dumps([to_json(p) for p in discover().plugins]))"
    )
    env = {**os.environ, "PYTHONPATH": str(acme.site), "PALESTRA_CACHE": str(acme.cache)}
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    answers = {process.communicate(timeout=120)[0] for process in running}
    assert len(answers) == 1
    assert any(plugin["name"] == "acme" for plugin in json.loads(answers.pop()))
    left = [path.suffix for path in (acme.cache / "plugins").iterdir()]
    assert set(left) == {".json"}
    for path in (acme.cache / "plugins").iterdir():
        json.loads(path.read_bytes())


def test_old_files_of_others_are_removed(acme: Acme):
    folder = acme.cache / "plugins"
    folder.mkdir(parents=True)
    for name, age_days in (("gone.json", 100), ("young.json", 1)):
        (folder / name).write_text("{}")
        past = (folder / name).stat().st_mtime - age_days * 24 * 3600
        os.utime(folder / name, (past, past))
    acme.names()
    assert {"young.json"} <= {p.name for p in folder.iterdir()}
    assert "gone.json" not in {p.name for p in folder.iterdir()}


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"PALESTRA_CACHE": "/c"}, "/c/plugins"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/palestra/plugins"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/palestra/plugins"),
        ({"HOME": "/h"}, "/h/.cache/palestra/plugins"),
    ],
)
def test_where_the_cache_is(variables: dict[str, str], folder: str, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    for variable in ("PALESTRA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert cache.cache_folder() == Path(folder)


def test_listing_imports_nothing_of_a_plugin_and_loading_only_what_is_named(acme: Acme):
    acme.names()
    code = (
        "import sys\n"
        "from palestra.plugins.registry import Kind, get_registry\n"
        "registry = get_registry()\n"
        "assert 'one' in registry.names(Kind.SAMPLER)\n"
        "assert registry.load(Kind.SAMPLER, 'one').__name__ == 'dumps'\n"
        f"assert {acme.module.stem!r} not in sys.modules\n"
        "assert 'palestra_math' not in sys.modules and 'pluggy' not in sys.modules\n"
    )
    env = {**os.environ, "PYTHONPATH": str(acme.site)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=60)
    assert acme.looks() == 1
