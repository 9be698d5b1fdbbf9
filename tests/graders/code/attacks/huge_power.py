"""A tower of powers that never ends."""


def solve(n):
    return 9**9**9**9


solve(1)
