"""A recursion without an end, with the limit taken away."""

import sys

sys.setrecursionlimit(10**9)


def solve(n):
    return solve(n + 1)


solve(0)
