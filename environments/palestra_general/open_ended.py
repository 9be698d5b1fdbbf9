"""`general/Writing-v1`, `general/Helpfulness-v1`: requests without a right answer.

Their reward is a reward model's: name one in the recipe (``rewards: {helpfulness: 1.0}``). The
environment itself pays nothing, and says only whether there is an answer at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from palestra.envs import SPLITS, Score, SingleTurnEnv, Split, Status, Task, split_of
from palestra.errors import ConfigError, did_you_mean
from palestra_general.constraints.vocabulary import TOPICS
from palestra_general.rows import rows

_FORMS = (
    *("a short story", "a poem", "a letter", "a speech", "a fable", "a dialogue", "an essay"),
    *("a diary entry", "a review", "a news report", "a fairy tale", "a monologue"),
)
_READERS = (
    "a child of six",
    "a busy engineer",
    "an old friend",
    "a new neighbour",
    "the town hall",
)
_MOODS = ("warm", "dry", "playful", "solemn", "suspenseful", "plain")
_WISHES = (
    "I have {n} days and like {topic}. Plan a trip for me that I can afford.",
    "Explain to {reader} how one gets started with {topic}, in {n} steps.",
    "My friend and I argue about {topic} for {n} weeks now. How do we make peace?",
    "I must give a talk of {n} minutes about {topic} to {reader}. What should I say?",
    "Compare {n} good books about {topic}, and tell me which one suits {reader}.",
    "I want to give {reader} a present that has to do with {topic}, for {n}0 euros. Ideas?",
)


class _OpenEnded(SingleTurnEnv):
    """Requests that are drawn, or come from a file.

    Args:
        path: a local file of requests (JSONL, CSV, Parquet); by default they are drawn.
        prompt: its column of requests.
        split: take every row for this split; by default the request's hash decides.
    """

    def __init__(
        self, path: str | None = None, prompt: str = "prompt", split: Split | None = None
    ) -> None:
        super().__init__()
        if split is not None and split not in SPLITS:
            raise ConfigError(f"no split '{split}'.{did_you_mean(split, SPLITS)}")
        self._tasks: dict[str, dict[str, Task]] | None = None
        if path is not None:
            self._tasks = {name: {} for name in SPLITS}
            for _, row in rows(path, None, (prompt,), what=type(self).__name__):
                task = Task(prompt=str(row[prompt]).strip())
                task = replace(task, id=task.prompt_hash)
                self._tasks[split or split_of(task.prompt_hash)][task.id] = task

    def tasks(self, split: Split) -> Sequence[Task] | None:
        return None if self._tasks is None else list(self._tasks[split].values())

    def grade(self, task: Task, completion: str) -> Score:
        """Pay nothing; a reward model does. ``answered`` is 1 where there is any text at all."""
        said = completion.rpartition("</think>")[2]
        for tag in ("<answer>", "</answer>", "<think>"):
            said = said.replace(tag, " ")
        answered = bool(said.strip())
        return Score(
            value=0.0,
            components={"answered": float(answered)},
            status=Status.OK if answered else Status.UNPARSABLE,
            reason="" if answered else "no answer behind the thoughts",
        )

    def reference_completion(self, task: Task) -> None:
        """Return None: there is no right answer."""
        return None


class WritingEnv(_OpenEnded):
    """Forms, topics, readers and moods, put together: 9,000 writing tasks; or those of a file."""

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw a writing task."""
        form, topic = str(rng.choice(_FORMS)), str(rng.choice(TOPICS))
        reader, mood = str(rng.choice(_READERS)), str(rng.choice(_MOODS))
        return Task(prompt=f"Write {form} about {topic} for {reader}. Keep the tone {mood}.")


class HelpfulnessEnv(_OpenEnded):
    """Everyday requests for advice, put together; or those of a file."""

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw a request."""
        wish, topic = str(rng.choice(_WISHES)), str(rng.choice(TOPICS))
        reader, n = str(rng.choice(_READERS)), int(rng.integers(2, 10))
        return Task(prompt=wish.format(topic=topic, reader=reader, n=n))
