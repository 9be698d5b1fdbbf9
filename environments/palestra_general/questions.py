"""`RewordedEnv`: the questions of another environment, asked in other words.

The questions, their splits and their grading stay the source's: it is reset by its own task ids and
steps on the policy's completion, so that any single-turn environment can be asked in another way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from palestra.envs import SPLITS, Message, Score, SingleTurnEnv, Split, Status, Task, TextEnv
from palestra.envs.answers import strict_answer
from palestra.envs.drawn import LastDrawn
from palestra.envs.together import step_alone
from palestra.errors import ConfigError, EnvironmentFailed
from palestra.plugins.registry import get_registry
from palestra.seeding import rng as named_rng
from palestra.splits import split_of

_TRIES = 1_000


class RewordedEnv(SingleTurnEnv):
    """Asks the questions of a single-turn environment as `reword` says.

    Subclasses write `reword`, and may add to `grade`.

    Args:
        env: the id of the environment whose questions are asked.
        env_kwargs: arguments of its constructor.

    Raises:
        ConfigError: the environment holds conversations, judges groups, or does not exist.
    """

    def __init__(
        self, env: str = "math/Arithmetic-v1", env_kwargs: Mapping[str, object] | None = None
    ) -> None:
        super().__init__()
        self.source: TextEnv = get_registry().make_env(env, **(env_kwargs or {}))
        if self.source.max_turns > 1:
            raise ConfigError(f"'{env}' holds conversations: only single turns can be reworded")
        if self.source.together == "group":
            raise ConfigError(f"'{env}' judges whole groups: only single answers can be reworded")
        self.difficulties = self.source.difficulties
        self.step_timeout_s = self.source.step_timeout_s
        self._reworded: dict[str, list[Task]] = {}
        self.last_drawn = LastDrawn()  # a draw that fits both splits takes a hundred

    def reword(self, task: Task, rng: np.random.Generator) -> Task:
        """Return `task` asked in another way; its messages are free, its metadata is kept."""
        raise NotImplementedError(f"{type(self).__name__} must define reword()")

    # -- tasks ----------------------------------------------------------------------------------

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Reword drawn questions until one falls in the split that the source has it in.

        So what is a training question there is never a test question here.
        """
        for _ in range(_TRIES):
            split: Split = SPLITS[int(rng.choice(3, p=(0.8, 0.1, 0.1)))]
            seed = int(rng.integers(2**62))
            options: dict[str, object] = {"split": split, "difficulty": difficulty}
            task = self.reword(self._question(seed, options), rng)
            if split_of(task.prompt_hash) == split:
                return task
        raise EnvironmentFailed(f"{self.env_id}: no wording keeps the source's splits")

    def tasks(self, split: Split) -> Sequence[Task] | None:
        """Reword every question that the source lists; None where it draws them."""
        count = self.source.count(split)
        if count is None:
            return None
        if split not in self._reworded:
            self._reworded[split] = [
                self.reword(
                    self._question(None, {"split": split, "index": index}),
                    named_rng(index, self.env_id, split),
                )
                for index in range(count)
            ]
        return self._reworded[split]

    def _question(self, seed: int | None, options: dict[str, object]) -> Task:
        _, info = self.source.reset(seed=seed, options=options)
        task = self.source.task
        assert task is not None
        origin = {"source_id": info["task_id"], "difficulty": info["difficulty"]}
        prompt = cast("list[Message]", [dict(message) for message in info["messages"]])
        return replace(task, prompt=prompt, system=None, id="", metadata=origin)

    # -- grading --------------------------------------------------------------------------------

    def grade(self, task: Task, completion: str) -> Score:
        """Return the source's verdict."""
        self.source.reset(options={"task_id": str(task.metadata["source_id"])})
        _, value, _, _, info = step_alone(self.source, completion)
        status = Status(info["reward_status"])
        if not status.is_valid:
            return Score.failed(str(info["reason"]), status)
        return Score(
            value=value,
            components=info["reward_components"],
            status=status,
            reason=info["reason"],
            extracted=info["extracted_answer"],
        )

    def reference_completion(self, task: Task) -> str | None:
        """Return the source's own."""
        self.source.reset(options={"task_id": str(task.metadata["source_id"])})
        assert self.source.task is not None
        return self.source.reference_completion(self.source.task)

    def reference_answer(self, task: Task) -> str | None:
        """Return what stands in the answer tags of the source's reference completion."""
        completion = RewordedEnv.reference_completion(self, task)
        return None if completion is None else strict_answer(completion)

    def close(self) -> None:
        """Close the source, too."""
        self.source.close()


def with_last(messages: Sequence[Message], content: str) -> list[Message]:
    """Return the conversation with other words in its last turn."""
    last: Message = {"role": messages[-1]["role"], "content": content}
    return [*messages[:-1], last]
