"""An integer of ten million digits."""


def solve(n):
    return 10**10_000_000


print(solve(1))
