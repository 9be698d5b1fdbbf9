"""Writes into a file outside."""

from pathlib import Path

try:
    Path("@CANARY@").write_text("taken")
except OSError:
    pass


def solve(n):
    return 0
