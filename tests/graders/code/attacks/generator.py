"""An infinite generator for a value."""


def solve(n):
    while True:
        yield n


print(solve(1))
