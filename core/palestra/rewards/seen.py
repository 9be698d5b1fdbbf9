"""What a reward model sees of a completion: all of it, or the answer behind the thoughts."""

from __future__ import annotations

from typing import Literal

Sees = Literal["answer", "completion"]
"""R1's helpfulness model saw the final summary alone, its safety model the thoughts as well."""

_END, _BEGIN = "</think>", "<think>"


def seen(completion: str, sees: Sees) -> str:
    """Return the part of `completion` that a reward model is to see.

    The answer is what stands behind the last ``</think>``; nothing where thoughts were begun and
    not ended; all of it where there are none.
    """
    if sees == "completion":
        return completion
    _, ended, behind = completion.rpartition(_END)
    if ended:
        return behind.strip()
    return "" if _BEGIN in completion else completion.strip()
