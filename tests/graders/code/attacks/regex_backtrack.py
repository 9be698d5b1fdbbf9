"""Lets a regular expression backtrack for ever, deaf to signals."""

import re


def solve(n):
    return re.match("(a+)+b", "a" * 60)


solve(0)
