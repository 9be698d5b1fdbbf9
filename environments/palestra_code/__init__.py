"""Palestra's code environments, and the grader behind them: `run_tests`.

>>> from palestra_code import run_tests
>>> run_tests("def f(n): return n * n", [{"assert": "assert f(3) == 9"}]).value
1.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palestra_code.grader import run_tests

__all__ = ["run_tests"]


def __getattr__(name: str) -> object:
    """Import the grader when it is first asked for: its package is also a plugin."""
    if name == "run_tests":
        from palestra_code.grader import run_tests

        return run_tests
    raise AttributeError(f"module 'palestra_code' has no attribute '{name}'")
