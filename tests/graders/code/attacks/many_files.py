"""Makes files without end."""


def solve(n):
    number = 0
    while True:
        number += 1
        open(f"file{number}", "wb").close()


solve(0)
