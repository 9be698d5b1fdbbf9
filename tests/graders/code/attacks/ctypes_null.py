"""Dereferences null by ctypes to crash what runs it."""

import ctypes


def solve(n):
    ctypes.string_at(0)


ctypes.string_at(0)
