"""`example/Example-v1`: where tasks come from, and how an answer is judged."""

from __future__ import annotations

import numpy as np

from palestra import SingleTurnEnv, Task


class ExampleEnv(SingleTurnEnv):
    """Write a word backwards; a level adds two letters.

    Seeds, splits and the five-tuple of Gymnasium are Palestra's business, and so is the grading
    until you write a `grade(task, completion)` of your own: it compares what stands in
    `<answer>…</answer>` with the reference.
    """

    difficulties = (1, 5)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw one task; use `rng` for every choice, and nothing else."""
        letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size=2 + 2 * difficulty)
        word = "".join(letters)
        return Task(prompt=f"Write {word} backwards.", reference=word[::-1], language="en")

    def reference_completion(self, task: Task) -> str:
        """Write a completion that earns the maximum: what a cold start would learn from."""
        thoughts = ", ".join(str(task.reference))
        return f"<think>from the last letter: {thoughts}</think><answer>{task.reference}</answer>"
