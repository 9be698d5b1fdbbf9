"""`general/FewShot-v1`: the questions of another environment behind worked examples, or without.

DeepSeek-R1 does worse with examples in its prompt than without; ``shots=0`` against ``shots=4``
measures that on any source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from palestra.envs import Task
from palestra.envs.answers import strict_answer
from palestra.errors import ConfigError, EnvironmentFailed
from palestra_general.questions import RewordedEnv, with_last

_TRIES = 20
MOST_SHOTS = 32


class FewShotEnv(RewordedEnv):
    """Shows solved questions of the source's training split, then asks.

    Args:
        env: the id of the environment whose questions are asked.
        env_kwargs: arguments of its constructor.
        shots: how many solved questions stand in the prompt; 0 asks without any.
    """

    def __init__(
        self,
        env: str = "math/Arithmetic-v1",
        env_kwargs: Mapping[str, object] | None = None,
        shots: int = 4,
    ) -> None:
        if not 0 <= shots <= MOST_SHOTS:
            raise ConfigError(f"general/FewShot-v1: shots is 0 to {MOST_SHOTS}, not {shots}")
        super().__init__(env, env_kwargs)
        self.shots = shots
        self._has_levels = self.source.count("train") is None

    def reword(self, task: Task, rng: np.random.Generator) -> Task:
        """Put the examples in front of the question, one that is not the question itself."""
        question = task.messages[-1]["content"]
        shown: dict[str, str] = {}
        options: dict[str, object] = {"split": "train"}
        if self._has_levels and task.metadata.get("difficulty") is not None:
            options["difficulty"] = task.metadata["difficulty"]
        for _ in range(self.shots * _TRIES):
            if len(shown) == self.shots:
                break
            self.source.reset(seed=int(rng.integers(2**62)), options=options)
            other = self.source.task
            assert other is not None
            asked = other.messages[-1]["content"]
            solved = strict_answer(self.source.reference_completion(other) or "")
            if asked != question and solved:
                shown[asked] = solved
        if len(shown) < self.shots:
            raise EnvironmentFailed(
                f"general/FewShot-v1: '{self.source.env_id}' has no {self.shots} other questions "
                "with a reference"
            )
        # Without tags: a policy that repeats the prompt has not answered.
        parts = [f"{asked}\nAnswer: {solved}" for asked, solved in shown.items()]
        return replace(task, prompt=with_last(task.messages, "\n\n".join([*parts, question])))
