"""Prints without end."""


def solve(n):
    while True:
        print("x" * 10_000)


solve(0)
