"""Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; its cells are Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    """Return plain text, in which backticks mark code, as the Markdown of a cell."""
    flat = " ".join(text.replace("``", "`").split())
    parts = re.split(r"(`[^`]*`)", flat)  # what is in backticks is left as it stands
    escaped = [
        part if part.startswith("`") else re.sub(r"([<>*_\[\]{}\\])", r"\\\1", part)
        for part in parts
    ]
    return "".join(escaped).replace("|", r"\|")
