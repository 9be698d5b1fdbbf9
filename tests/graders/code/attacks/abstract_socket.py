"""Looks for sockets of other processes by their abstract names."""

import socket


def solve(n):
    try:
        with open("/proc/net/unix") as file:
            return [line.split()[-1] for line in file][:3]
    except OSError:
        return 0


print(solve(0))
