"""Sends datagrams to a listener on this machine."""

import socket


def solve(n):
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"taken", ("127.0.0.1", int("@PORT@")))
    except OSError:
        pass
    return 0


solve(0)
