"""Asks to become root."""

import os

for call in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])):
    try:
        call()
    except OSError:
        pass


def solve(n):
    with open("@CANARY@") as file:
        return eval(file.read())
