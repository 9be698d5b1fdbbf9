"""Aborts."""

import os


def solve(n):
    os.abort()


os.abort()
