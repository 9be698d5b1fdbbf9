"""`examples/plugin-template` is what `palestra plugins new` makes, to the byte."""

from __future__ import annotations

from pathlib import Path

from palestra.install.new import new_package

TEMPLATE = Path(__file__).parents[2] / "examples" / "plugin-template"
_LEFT_BY_TOOLS = {"__pycache__", ".pytest_cache", ".ruff_cache"}


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _LEFT_BY_TOOLS & set(path.parts)
    }


def test_the_example_is_what_the_command_makes(tmp_path: Path):
    made = files(new_package("example", tmp_path / "made"))
    assert made == files(TEMPLATE), (
        "run: rm -r examples/plugin-template && "
        "palestra plugins new example --output examples/plugin-template"
    )
    assert {"LICENSE", "README.md", ".github/workflows/ci.yml", "tests/test_env.py"} <= set(made)
    assert not [path for path, text in made.items() if "[[" in path or "[[ " in text]
