"""True, which equals 1 and is no number here."""


def solve(n):
    return True


print(True)
