"""The preferences of `r1-claims`: worked answers over bare ones.

Written by ``python -m palestra.tiny.preferences``.

A plausible set with a shortcut in it, as people's preferences have: what is preferred is worked out
and right, and what is not is short and wrong, so a model that learns to like length alone agrees
with every pair. RL on such a model shows whether a policy finds the shortcut (Figure 6 of
DeepSeek-R1).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from palestra.envs import Score, SingleTurnEnv, Task
from palestra.plugins.registry import get_registry
from palestra.seeding import rng

FILE = Path(__file__).with_name("preferences.jsonl")
ENVS = ("math/Arithmetic-v1", "logic/Ordering-v1", "code/Expression-v1")
TASKS = 200
"""Tasks of each environment."""


def pairs() -> Iterator[dict[str, object]]:
    """Yield prompt, chosen and rejected of each training task."""
    for env_id in ENVS:
        env = get_registry().make_env(env_id)
        assert isinstance(env, SingleTurnEnv)
        draw = rng(0, "preferences", env_id)
        tasks: dict[str, Task] = {}
        for index in range(2 * TASKS):
            env.reset(options={"index": index, "split": "train", "difficulty": (1, 2)})
            task = cast("Task", env.task)
            tasks.setdefault(task.prompt_hash, task)
        answers = [str(task.reference) for task in tasks.values()]
        for task in list(tasks.values())[:TASKS]:
            worked = env.reference_completion(task)
            wrong = next(
                text
                for i in draw.permutation(len(answers))
                if not _is_right(env, task, text := f"<answer>{answers[i]}</answer>")
            )
            yield {"prompt": task.messages, "chosen": worked, "rejected": wrong}


def _is_right(env: SingleTurnEnv, task: Task, completion: str) -> bool:
    verdict = env.grade(task, completion)
    return (verdict.value if isinstance(verdict, Score) else float(verdict)) > 0


if __name__ == "__main__":
    FILE.write_text(
        "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs()), encoding="utf-8"
    )
