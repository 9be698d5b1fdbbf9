"""Splits: the content of a prompt decides whether it trains or tests."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from palestra.seeding import stable_hash

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def prompt_hash(text: str) -> str:
    """Hash a prompt after Unicode NFKC, case folding and squeezing white space."""
    return stable_hash(re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).strip().casefold())


def split_of(hash_: str) -> Split:
    """Return the split that a prompt belongs to: 80% train, 10% validation, 10% test.

    The prompt alone decides, so no seed, index or process can put a test question into training.
    """
    bucket = int(hash_, 16) % 10
    return "train" if bucket < 8 else "validation" if bucket == 8 else "test"
