"""Not-a-number, in the hope that no comparison with it is made."""


def solve(n):
    return float("nan")


print(float("nan"))
