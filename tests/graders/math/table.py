"""The table of answer pairs, each with its verdict and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("pairs.tsv")


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference, an answer, and whether they are the same."""

    kind: str
    reference: str
    answer: str
    same: bool
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reference!r} and {self.answer!r} ({self.reason})"


def pairs() -> list[Pair]:
    """Return the table, in the order of the file."""
    found: list[Pair] = []
    kind = ""
    for line in TABLE.read_text(encoding="utf-8").split("\n"):
        if line.startswith("## "):
            kind = line[3:]
        elif line and not line.startswith("# "):
            reference, answer, verdict, reason = line.split("\t")
            assert verdict in ("same", "different"), line
            found.append(Pair(kind, reference, answer, verdict == "same", reason))
    return found
