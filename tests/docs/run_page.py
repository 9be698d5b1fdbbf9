"""Runs the code blocks of one page, in order, in the current folder: ``run_page.py PAGE``.

A block with a title becomes that file. ``python`` blocks share one namespace; a ``sh`` block is run
by a shell; a ``console`` block is run command by command, each behind a ``$``; a ``yaml`` block is
loaded as a recipe, over ``r1-tiny`` where it is not a whole one. Each line of a ``text`` block right
behind a ``sh`` or ``python`` block has to occur in what that printed, in this order; so has each line
behind a command of a ``console`` block. ``…`` or ``...`` stands for anything.
"""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path

import yaml
from tests.docs.pages import Block, blocks

from palestra.recipe.config import load_recipe

RAN = {"python", "sh", "console", "yaml", "text"}
"""Languages that this program knows what to do with."""

INSTALLS = re.compile(r"\b(?:pip|plugins) (?:un)?install\b|\buv \w+")
"""Commands that would change the environment that the tests run in."""


class Wrong(Exception):
    """A block does not do what the page says."""


class Page:
    """What the blocks of a page share.

    Args:
        path: the Markdown file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: dict[str, object] = {"__name__": "__main__"}
        self.printed: str | None = None  # by the block before, if it was run

    def run(self) -> None:
        """Run every block.

        Raises:
            Wrong: one fails; the message names its line.
        """
        for block in blocks(self.path):
            missing = block.needs and find_spec(block.needs) is None
            if block.not_run or missing or block.language not in RAN:
                self.printed = None
                continue
            try:
                self._run(block)
            except Wrong as exc:
                raise Wrong(f"{self.path}:{block.line}: {exc}") from exc

    def _run(self, block: Block) -> None:
        if block.title:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.code, encoding="utf-8")
        if block.language == "text":
            if self.printed is not None:
                expect(block.code, self.printed)
            self.printed = None
        elif block.language == "sh":
            self.printed = run_shell(block.code, block.exits)
        elif block.language == "console":
            self.printed = None
            run_console(block)
        elif block.language == "yaml":
            self.printed = None
            check_recipe(block)
        else:
            self.printed = self._run_python(block)

    def _run_python(self, block: Block) -> str:
        printed = io.StringIO()
        source = "\n" * (block.line - 1) + block.code  # so that tracebacks name the page's line
        # A file of its own has names of its own: commands import it as a module.
        names = {"__name__": Path(block.title).stem} if block.title else self.names
        try:
            code = compile(source, str(self.path), "exec", dont_inherit=True)
            with contextlib.redirect_stdout(printed):
                exec(code, names)
        except Exception:
            raise Wrong(traceback.format_exc()) from None
        return printed.getvalue()


def run_shell(code: str, exits: int = 0) -> str:
    """Run commands as a reader would type them, and return what they printed.

    Raises:
        Wrong: a command failed, or one that should fail did not, or it installs something.
    """
    if INSTALLS.search(code):
        raise Wrong("it changes what is installed here: mark it <!-- not run: REASON -->")
    done = subprocess.run(
        ["bash", "-eu", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=300,
    )
    if done.returncode != exits:
        raise Wrong(f"exit code {done.returncode}, not {exits}:\n{code}{done.stdout}")
    return done.stdout


def run_console(block: Block) -> None:
    """Run the commands behind each ``$``, and look for what the page says they print.

    Raises:
        Wrong: a command fails, or prints something else.
    """
    for part in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
        command, _, wanted = part.partition("\n")
        expect(wanted, run_shell(command, block.exits))


def check_recipe(block: Block) -> None:
    """Load a block as a recipe; a part of one is laid over ``r1-tiny``.

    Raises:
        Wrong: it is no recipe.
    """
    data = yaml.safe_load(block.code)
    whole = "extends" in data or {"model", "stages"} <= set(data)
    file = Path(block.title if whole and block.title else "block.yaml")
    file.write_text(block.code if whole else f"extends: r1-tiny\n{block.code}", encoding="utf-8")
    try:
        load_recipe(file)
    except Exception as exc:
        raise Wrong(f"{exc}\n{block.code}") from exc


def expect(page: str, printed: str) -> None:
    """Look for each line of `page` in what was printed, in this order.

    Raises:
        Wrong: one is missing.
    """
    lines = iter(map(_plain, printed.splitlines()))
    for wanted in filter(None, map(_plain, page.splitlines())):
        pattern = ".*".join(re.escape(part) for part in re.split(r"\s*(?:…|\.\.\.)\s*", wanted))
        if not any(re.fullmatch(pattern, line) for line in lines):
            raise Wrong(f"the page says\n  {wanted}\nand what was printed does not:\n{printed}")


def _plain(line: str) -> str:
    return " ".join(line.split())


def main() -> None:
    """Run the page that the command line names."""
    try:
        Page(Path(sys.argv[1])).run()
    except Wrong as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
