"""Starts a process in a session of its own and leaves."""

import subprocess

subprocess.Popen(["sleep", "1000.31337"], start_new_session=True)


def solve(n):
    subprocess.Popen(["sleep", "1000.31337"], start_new_session=True)
    return 0
