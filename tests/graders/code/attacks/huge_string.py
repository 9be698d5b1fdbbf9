"""A string of half a gigabyte."""


def solve(n):
    return "x" * (500 << 20)


print(solve(0))
