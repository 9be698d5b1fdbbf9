"""The environment: a function that draws a task. Seeds, splits and grading are Palestra's."""

from __future__ import annotations

import numpy as np

from palestra import Task, single_turn


@single_turn("example/Reverse-v1", difficulties=(1, 5))
def reverse(rng: np.random.Generator, difficulty: int) -> Task:
    """Write a word backwards; a level adds two letters."""
    letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size=2 + 2 * difficulty)
    word = "".join(letters)
    return Task(prompt=f"Write {word} backwards.", reference=word[::-1])
