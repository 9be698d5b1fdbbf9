"""The reference has every hook, every command and every key of a recipe."""

from __future__ import annotations

import html
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.docs.pages import DOCS, ROOT, pages

from palestra.cli.main import COMMANDS
from palestra.plugins import hookspecs
from palestra.plugins.kinds import HOOKS, Kind
from palestra.recipe.schema import PUBLISHED

sys.path.insert(0, str(DOCS / "_ext"))
from palestra_reference import complete
from palestra_reference.commands import each_command
from palestra_reference.keys import blocks


@cache
def page(name: str) -> str:
    return complete((DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8"))


# -- commands -----------------------------------------------------------------------------------


def test_every_command_has_a_section() -> None:
    for words in each_command():
        assert f"\n## palestra {' '.join(words)}\n" in page("commands")
    assert {words[0] for words in each_command()} == set(COMMANDS)


def test_every_option_of_a_command_is_in_its_section() -> None:
    from importlib import import_module

    import typer.main

    for name, entry in COMMANDS.items():
        root: Any = typer.main.get_command(import_module(entry.module).app)
        verbs: dict[str, Any] = getattr(root, "commands", None) or {"": root}
        for verb, command in verbs.items():
            title = f"\n## palestra {name} {verb}".rstrip() + "\n"
            section = page("commands").partition(title)[2].partition("\n## ")[0]
            for parameter in command.params:
                if parameter.param_type_name == "option":
                    for spelling in parameter.opts:
                        assert f" {spelling}" in section, f"{title.strip()} {spelling}"


def test_every_environment_variable_of_ours_is_documented() -> None:
    sources = [*ROOT.glob("core/**/*.py"), *ROOT.glob("environments/**/*.py")]
    sources += ROOT.glob("plugins/**/*.py")
    text = "".join(file.read_text(encoding="utf-8") for file in sources)
    found = set(re.findall(r"\bPALESTRA_[A-Z_]+\b", text)) - {
        "PALESTRA_PROBING"
    }  # between processes
    assert found
    for variable in sorted(found):
        assert f"\n| `{variable}` |" in page("environment-variables"), variable


# -- keys of a recipe ---------------------------------------------------------------------------


def _schema_keys(schema: object) -> Iterator[str]:
    """Yield the name of every property that a JSON Schema describes."""
    if isinstance(schema, dict):
        for name, inner in schema.items():
            if name == "properties":
                yield from (key for key, value in inner.items() if value != {})
            yield from _schema_keys(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _schema_keys(inner)


def test_every_key_of_the_published_schema_has_a_row() -> None:
    keys = set(_schema_keys(json.loads(PUBLISHED.read_text(encoding="utf-8"))))
    patterns = {"tiny", "other"}  # of when_model: models, not keys of their own
    assert len(keys) > 80
    for key in sorted(keys - patterns):
        assert f"\n| `{key}` |" in page("recipe"), key


def test_every_key_has_a_type_and_a_description() -> None:
    for block in blocks():
        for key in block.keys:
            assert key.type, f"{block.title}: {key.name}"
            assert key.description, f"{block.title}: {key.name}"


def test_the_titles_of_blocks_are_unique() -> None:
    titles = [block.title for block in blocks()]
    assert len(titles) == len(set(titles))


# -- the built pages ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-E", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(out / "doctrees"), str(DOCS), str(out / "html")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


def _text(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", markup)).split())


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(site: Path) -> None:
    assert (site / "index.html").is_file()


@pytest.mark.slow
def test_every_hook_is_documented_with_its_exact_signature(site: Path) -> None:
    built = (site / "reference" / "plugin-api.html").read_text(encoding="utf-8")
    for hook in HOOKS:
        function = getattr(hookspecs, hook)
        signature = str(inspect.signature(function)).replace("'", "")
        entry = re.search(
            rf'<dt [^>]*id="palestra\.plugins\.hookspecs\.{hook}">.*?</dt>(.*?)</dd>', built, re.S
        )
        assert entry is not None, hook
        heading = _text(entry[0].partition("</dt>")[0])
        assert _squeezed(f"{hook}{signature}") in _squeezed(heading.replace("→", "->")), hook
        first = (function.__doc__ or "").strip().splitlines()[0]
        assert _squeezed(first) in _squeezed(_text(entry[1])), hook


@pytest.mark.slow
def test_every_field_of_every_spec_is_documented(site: Path) -> None:
    from dataclasses import fields

    built = (site / "reference" / "plugin-api.html").read_text(encoding="utf-8")
    for kind in Kind:
        spec = kind.spec_class
        assert f'id="palestra.plugins.specs.{spec.__name__}"' in built
        entry = _text(built.partition(f'id="palestra.plugins.specs.{spec.__name__}"')[2])
        for field in fields(spec):
            assert re.search(rf"\b{field.name}\b", entry), f"{spec.__name__}.{field.name}"


@pytest.mark.slow
def test_every_public_name_is_documented(site: Path) -> None:
    import palestra

    built = (site / "reference" / "plugin-api.html").read_text(encoding="utf-8")
    for public in palestra.__all__:
        if public not in ("__version__", "hookimpl"):
            assert re.search(rf'id="palestra\.(?:[\w.]+\.)?{public}"', built), public


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text).replace(",)", ")")


# -- links --------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", pages(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_to_a_file(source: Path) -> None:
    text = re.sub(r"^```.*?^```", "", source.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (source.parent / target).exists(), target
