"""Starts threads without end."""

import threading, time


def solve(n):
    while True:
        try:
            threading.Thread(target=time.sleep, args=(1000,)).start()
        except (RuntimeError, MemoryError):
            pass


solve(0)
