"""Forks, and both answer each call."""

import os

os.fork()


def solve(n):
    os.fork()
    return True


print(True)
