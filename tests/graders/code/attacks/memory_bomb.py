"""Takes memory without end."""


def solve(n):
    held = []
    while True:
        held.append(bytearray(1 << 20))


solve(0)
