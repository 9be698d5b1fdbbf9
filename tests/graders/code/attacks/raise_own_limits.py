"""Raises its own limits, then fills memory."""

import resource

for name in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE):
    try:
        resource.setrlimit(name, (resource.RLIM_INFINITY,) * 2)
    except (OSError, ValueError):
        pass


def solve(n):
    return "x" * (4 << 30)


solve(0)
