"""Calls quit()."""


def solve(n):
    quit()


quit()
