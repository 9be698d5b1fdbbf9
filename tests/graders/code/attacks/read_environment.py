"""Looks for keys in the environment."""

import os


def solve(n):
    return dict(os.environ)


print(dict(os.environ))
