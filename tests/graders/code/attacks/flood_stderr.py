"""Writes errors without end."""

import sys


def solve(n):
    while True:
        sys.stderr.write("x" * 10_000)


solve(0)
