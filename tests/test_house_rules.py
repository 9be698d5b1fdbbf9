"""What must never break in the tree itself: see the docstring of each test."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core" / "palestra"
SOURCES = (CORE, *sorted((ROOT / "environments").iterdir()), *sorted((ROOT / "plugins").iterdir()))

LAYERS: tuple[frozenset[str], ...] = tuple(
    map(
        frozenset,
        (
            {"cli"},
            {"conformance"},  # nothing but commands and tests asks for it
            {"recipe"},
            {"stages"},
            {"rollout", "learner", "evaluation", "mixture", "report"},
            {"rewards", "optimizers", "grading", "envs", "install"},
            {"plugins"},
            {"errors", "seeding", "splits", "config", "precision", "terminal"},
        ),
    )
)
"""DESIGN.md, section 2: a module imports its own room, its layer, and the layers below.

The last layer is modules that are free for all, and import nothing but each other.
"""

FREE = {"", "gym", "integrations", "pytest_plugin", "testing", "tiny"}
"""Outside the picture: the package's face, the mirror, other people's trainers, what plugin authors'
tests import, and the embedded model's data with its builder. They may import any room; who may
import them is `FACES`."""

FACES = {
    "": {"environments", "plugins", "tiny", "gym", "testing"},
    "gym": set[str](),
    "integrations": set[str](),
    "pytest_plugin": set[str](),
    "testing": set[str](),
    "tiny": {"recipe", "tiny"},
}
"""Rooms that may import each of `FREE`."""

TYPES_FROM_ABOVE = {
    ("stages", "recipe"),  # StageContext holds the Recipe
    ("optimizers", "rollout"),  # PolicyOptimizer.keep is given a Group
    ("plugins", "envs"),  # Registry.make_env returns a TextEnv
    ("plugins", "rollout"),  # palestra_step_finished is given Groups
}
"""(room, room above it) whose names may stand in signatures, under ``if TYPE_CHECKING``: nothing is
imported when the program runs."""

MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 80


@dataclass(frozen=True, slots=True)
class Import:
    """One import of one module, wherever in the file it stands."""

    file: Path
    line: int
    module: str
    types_only: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def modules(*folders: Path) -> list[Path]:
    return sorted(
        file
        for folder in folders
        for file in folder.rglob("*.py")
        if "__pycache__" not in str(file)
    )


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def imports(file: Path) -> Iterator[Import]:
    """Yield every import of `file`, those inside functions and for type checking included."""
    types = {
        id(inner)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for branch in node.body
        for inner in ast.walk(branch)
    }
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [_module(node.module, alias.name) for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(file, node.lineno, name, id(node) in types)


def _module(module: str | None, name: str) -> str:
    """Return what ``from module import name`` imports: a module within core, or the name's."""
    assert module is not None, "ruff bans relative imports"
    whole = CORE.parent.joinpath(*module.split("."), name)
    return f"{module}.{name}" if whole.is_dir() or whole.with_suffix(".py").is_file() else module


def room_of(module: str) -> str:
    """Return ``stages`` for ``palestra.stages.rl``, and an empty string for ``palestra``."""
    return module.split(".")[1] if "." in module else ""


def room_of_file(file: Path) -> str:
    inside = file.relative_to(CORE)
    if len(inside.parts) > 1:
        return inside.parts[0]
    return "" if inside.stem == "__init__" else inside.stem


def layer(room: str) -> int | None:
    return next((i for i, rooms in enumerate(LAYERS) if room in rooms), None)


def within_core() -> Iterator[tuple[str, str, Import]]:
    """Yield (importing room, imported room, import) of core's imports of itself."""
    for file in modules(CORE):
        for found in imports(file):
            if found.module.split(".")[0] == "palestra":
                yield room_of_file(file), room_of(found.module), found


def listed(problems: list[str]) -> str:
    return "\n  ".join(["", *problems])


def test_core_imports_no_plugin() -> None:
    wrong = [
        str(found)
        for file in modules(CORE)
        for found in imports(file)
        if found.module.startswith("palestra_")
    ]
    assert not wrong, listed(wrong)


def test_every_room_has_its_place_in_the_order() -> None:
    """A new room is a decision: it goes into LAYERS (and DESIGN.md), not anywhere."""
    rooms = {room_of_file(file) for file in modules(CORE)}
    assert not {room for room in rooms if layer(room) is None} - FREE


def test_imports_go_one_way_between_rooms() -> None:
    wrong: list[str] = []
    for source, target, found in within_core():
        here, there = layer(source), layer(target)
        if source == target or here is None or there is None:
            continue
        if there < here and not (found.types_only and (source, target) in TYPES_FROM_ABOVE):
            wrong.append(f"{found}: {source} lies below {target}")
    assert not wrong, listed(wrong)


def test_each_exception_for_types_is_still_needed() -> None:
    used = {(source, target) for source, target, found in within_core() if found.types_only}
    assert used >= TYPES_FROM_ABOVE


def test_only_who_may_imports_the_package_itself() -> None:
    """`palestra` re-exports for users: core imports where a thing is."""
    wrong = [
        f"{found}: import the module where it is defined"
        for source, target, found in within_core()
        if target in FREE and source != target and source not in FACES[target]
    ]
    assert not wrong, listed(wrong)


def test_rooms_of_a_layer_do_not_import_in_circles() -> None:
    ways: dict[str, dict[str, Import]] = {}
    for source, target, found in within_core():
        if source != target and layer(source) is not None and layer(source) == layer(target):
            ways.setdefault(source, {}).setdefault(target, found)
    circles = [
        f"{ways[a][b]}, while {b} (through others) imports {a}"
        for a in ways
        for b in ways[a]
        if a in _reachable(ways, b)
    ]
    assert not circles, listed(circles)


def _reachable(ways: dict[str, dict[str, Import]], start: str) -> set[str]:
    seen, waiting = set[str](), [start]
    while waiting:
        for room in ways.get(waiting.pop(), {}):
            if room not in seen:
                seen.add(room)
                waiting.append(room)
    return seen


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["envs", "ls"], ["recipes", "ls"], ["recipes", "validate", "r1-tiny"]],
    ids=" ".join,
)
def test_no_torch_for(arguments: list[str]) -> None:
    heavy = ("torch", "transformers", "pyarrow", "matplotlib", "accelerate")
    heavy += ("typer", "gymnasium") if arguments == ["--help"] else ()
    program = (
        "import sys; from palestra.cli.main import run; "
        f"code = run({arguments!r}); "
        f"print('LOADED', code, *[m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "LOADED 0", done.stdout[-300:]


@pytest.mark.parametrize("file", modules(*SOURCES), ids=lambda f: str(f.relative_to(ROOT)))
def test_module_opens_with_a_docstring_and_fits(file: Path) -> None:
    """Every module says what it is for, none holds two ideas' worth of lines."""
    assert ast.get_docstring(tree(file)), "no docstring opens the module"
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_MODULE_LINES, f"{lines} lines: does it hold two ideas?"
    long = [
        f"{node.name} (line {node.lineno}): {length} lines"
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert not long, listed(long)
