"""Computes without end."""


def solve(n):
    while True:
        n += 1


solve(0)
