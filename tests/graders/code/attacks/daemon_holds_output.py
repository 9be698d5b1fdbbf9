"""Leaves a child that holds its output open."""

import os, time

if os.fork() == 0:
    time.sleep(1000)


def solve(n):
    return 0
