"""Palestra's math package: `grade`, and environments that grade with it.

from palestra_math import grade

grade("1/2", "It is 50%, so <answer>0.5</answer>").value  # 1.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palestra_math.grader import grade, same_answer

__all__ = ["grade", "same_answer"]


def __getattr__(name: str) -> object:
    """Import on first use: the plugin's declarations must stay cheap."""
    if name in __all__:
        from palestra_math import grader

        return getattr(grader, name)
    raise AttributeError(f"module 'palestra_math' has no attribute '{name}'")
