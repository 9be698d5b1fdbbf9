"""Returns a list of a hundred million members."""


def solve(n):
    return [0] * 100_000_000


print(solve(0))
