"""Connects to a listener on this machine."""

import socket


def solve(n):
    for host in ("127.0.0.1", "localhost", "::1"):
        try:
            with socket.create_connection((host, int("@PORT@")), timeout=0.5) as connection:
                connection.sendall(b"taken")
        except OSError:
            pass
    return 0


solve(0)
