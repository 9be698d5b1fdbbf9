"""Becomes a program that prints a verdict."""

import os

os.execv("/bin/echo", ["echo", "passed"])
