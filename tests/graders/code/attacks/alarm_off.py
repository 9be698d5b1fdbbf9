"""Switches off timers and hangs."""

import signal

signal.alarm(0)
signal.setitimer(signal.ITIMER_REAL, 0)


def solve(n):
    while True:
        signal.pause()


solve(0)
