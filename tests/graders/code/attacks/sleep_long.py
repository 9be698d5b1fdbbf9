"""Sleeps for an hour."""

import time


def solve(n):
    time.sleep(3600)


time.sleep(3600)
