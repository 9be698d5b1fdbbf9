"""Reads the fenced code blocks of a Markdown page.

A fence may have a title, which is the name of the file that it is: ``python title="my_env.py"``. An
HTML comment on the line before a fence says what is special about it: ``<!-- not run: REASON -->``,
``<!-- needs: MODULE -->`` for a package that a reader of the page has and others may lack, or
``<!-- exits: 1 -->`` for a command that should fail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>.*)$")
_TITLE = re.compile(r'title="([^"]+)"')
_COMMENT = re.compile(r"^\s*<!-- (not run|needs|exits): (.+?) -->\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced code block.

    Attributes:
        line: the line of its first line of code, counted from 1.
        language: what stands behind the fence: ``python``, ``sh``, ``yaml``, ``text``...
        title: the name of the file that it is, or "".
        code: what it holds.
        not_run: why it is not run, or "".
        needs: the module that has to be installed for it, or "".
        exits: the exit code of its last command.
    """

    line: int
    language: str
    title: str
    code: str
    not_run: str = ""
    needs: str = ""
    exits: int = 0


def pages() -> list[Path]:
    """Return every page of the documentation, and the README."""
    found = [page for page in DOCS.rglob("*.md") if "_build" not in page.parts]
    return [ROOT / "README.md", *sorted(found)]


def blocks(page: Path) -> list[Block]:
    """Return the fenced code blocks of a page, in order."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        match = _FENCE.match(lines[number])
        if match is None:
            number += 1
            continue
        start = number + 1
        end = next(i for i in range(start, len(lines)) if lines[i].strip() == match["ticks"])
        indent = len(match["indent"])
        comment = _COMMENT.match(lines[number - 1]) if number else None
        kind, told = comment.groups() if comment else ("", "")
        words = match["info"].split()
        title = _TITLE.search(match["info"])
        found.append(
            Block(
                line=start + 1,
                language=words[0] if words else "",
                title=title[1] if title else "",
                code="\n".join(line[indent:] for line in lines[start:end]) + "\n",
                not_run=told if kind == "not run" else "",
                needs=told if kind == "needs" else "",
                exits=int(told) if kind == "exits" else 0,
            )
        )
        number = end + 1
    return found
