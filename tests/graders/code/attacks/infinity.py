"""Infinity, in the hope of a tolerance without bound."""


def solve(n):
    return float("inf")


print(float("inf"))
