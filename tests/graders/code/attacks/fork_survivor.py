"""Forks a daemon that outlives it."""

import os

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "1000.31337"])
    os._exit(0)


def solve(n):
    return 0
