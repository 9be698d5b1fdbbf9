"""Reads input that never comes."""

import sys


def solve(n):
    return sys.stdin.read() or input()


print(sys.stdin.read())
