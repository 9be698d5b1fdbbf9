"""Leaves with status 0 when it is called."""

import sys


def solve(n):
    sys.exit(0)


solve(0)
