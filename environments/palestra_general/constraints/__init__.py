"""Instructions that a rule can verify, of the kinds of IFEval (Zhou et al., 2023), written anew."""

from __future__ import annotations

from palestra_general.constraints.content import CASES, LENGTH, WORDS
from palestra_general.constraints.kind import Kind, Params
from palestra_general.constraints.layout import BLOCKS, MARKS

KINDS: dict[str, Kind] = {k.name: k for k in (*LENGTH, *WORDS, *CASES, *BLOCKS, *MARKS)}

__all__ = ["KINDS", "Kind", "Params"]
