"""A list of all likely answers."""


def solve(n):
    return [list(range(n)) for n in range(50)]


for i in range(500):
    print(i)
