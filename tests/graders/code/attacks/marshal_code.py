"""Returns a code object."""


def solve(n):
    return compile("1", "x", "eval")


print(solve(0))
