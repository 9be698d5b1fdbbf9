"""What other people's packages use does not change without a line in CHANGELOG.md."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
from tests.api.surface import RELEASED, surface

import palestra
from palestra.plugins import hookspecs
from palestra.plugins.kinds import Kind
from palestra.plugins.specs import API_VERSION

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


def changes(before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """Return what became of each name that is not as it was."""
    out = dict.fromkeys(now.keys() - before.keys(), "added")
    out |= dict.fromkeys(before.keys() - now.keys(), "removed")
    changed = {n for n in before.keys() & now.keys() if before[n] != now[n]}
    return out | {n: f"was {before[n]}, is {now[n]}" for n in changed}


def unreleased(changelog: str) -> str:
    match = re.search(r"^## \[?Unreleased\]?.*?$(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    assert match, "CHANGELOG.md has no section 'Unreleased'"
    return match[1]


def unmentioned(found: dict[str, str], text: str) -> list[str]:
    """Return the changes that `text` does not name; what comes with a new class goes by its name."""
    named = set(re.findall(r"[A-Za-z_]\w*", " ".join(re.findall(r"`([^`]+)`", text))))

    def is_named(path: str) -> bool:
        holder, _, name = path.rpartition(".")
        return name in named or (found.get(holder) == found[path] and is_named(holder))

    return [f"{path}: {what}" for path, what in sorted(found.items()) if not is_named(path)]


def test_a_public_name_changes_only_with_a_line_in_the_changelog() -> None:
    before = json.loads(RELEASED.read_text(encoding="utf-8"))
    silent = unmentioned(changes(before, surface()), unreleased(CHANGELOG.read_text("utf-8")))
    assert not silent, (
        "public names changed, and CHANGELOG.md says nothing of them under Unreleased (name them "
        "in `backticks`):\n" + "\n".join(silent)
    )


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({}, {"palestra.Task.colour": "str"}),
        ({"palestra.Task.colour": "str"}, {}),
        ({"palestra.Task.colour": "str"}, {"palestra.Task.colour": "int"}),
    ],
    ids=["added", "removed", "changed"],
)
def test_a_silent_change_is_noticed_and_a_named_one_is_not(
    before: dict[str, str], now: dict[str, str]
) -> None:
    found = changes(before, now)
    assert unmentioned(found, "Something else of a `Task`.")
    assert not unmentioned(found, "A task has a `colour`.")


def test_what_a_new_class_brings_goes_by_its_name() -> None:
    found = changes({}, {"palestra.Paint": "class()", "palestra.Paint.colour": "str"})
    assert not unmentioned(found, "There is `Paint`.")
    assert len(unmentioned(found, "There is paint.")) == 2


def test_the_surface_has_every_hook_and_every_exported_name() -> None:
    names = surface()
    for kind in Kind:
        assert f"palestra.plugins.hookspecs.{kind.hook}" in names
    for name in palestra.__all__:
        assert name == "__version__" or f"palestra.{name}" in names


def test_every_hook_says_what_it_is_for_and_shows_it() -> None:
    hooks = [v for n, v in vars(hookspecs).items() if n.startswith("palestra_")]
    assert len(hooks) == len(Kind) + 3
    for hook in hooks:
        assert ">>> def " + hook.__name__ in (inspect.getdoc(hook) or ""), hook.__name__


def test_the_api_has_a_version() -> None:
    assert re.fullmatch(r"1\.\d+", API_VERSION)
