"""Palestra's environments in TRL: the tasks as a dataset, the grader as a reward function.

    from palestra.integrations.trl import dataset, reward_function

    trainer = GRPOTrainer(
        model=...,
        train_dataset=dataset("math/Arithmetic-v1", size=1_000),
        reward_funcs=reward_function("math/Arithmetic-v1"),
    )

A grader that failed gives None, which TRL leaves out of the group's statistics: never a zero. Only
single-turn environments fit, because TRL asks for a reward once the last token is there.
"""

# pyright: reportMissingImports=false, reportUnknownParameterType=false
# A checkout need not have datasets to be checked.

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from palestra.envs.env import Difficulty, TextEnv
from palestra.envs.task import Message
from palestra.envs.together import settled_together
from palestra.errors import ConfigError
from palestra.grading.isolation import open_env
from palestra.plugins.registry import get_registry
from palestra.rewards.base import RewardSum, Scored
from palestra.rewards.config import RewardModelBlock
from palestra.rewards.models import RewardModels
from palestra.splits import Split

if TYPE_CHECKING:
    from datasets import Dataset

Completion = str | Sequence[Mapping[str, Any]]


class RewardFunction(Protocol):
    """What TRL's `reward_funcs` takes."""

    __name__: str

    def __call__(
        self, prompts: Sequence[object], completions: Sequence[Completion], **columns: object
    ) -> list[float | None]:
        """Return one reward for each completion; None where there is no verdict."""
        ...


def dataset(
    env_id: str,
    *,
    split: Split = "train",
    size: int | None = None,
    difficulty: Difficulty | None = None,
    language: str | None = None,
    kwargs: Mapping[str, object] | None = None,
    render: Callable[[Sequence[Message]], str] | None = None,
) -> Dataset:
    """Return tasks of an environment as a dataset for TRL's trainers.

    Its columns are ``prompt``, ``env_id`` and ``task_id``, by which `reward_function` finds a
    task again. The reference stays in the environment. Datasets of several environments may be
    concatenated: each reward function gives None for the rows of others.

    Args:
        env_id: the environment.
        split: the split to take tasks from.
        size: the number of tasks; by default all, of an environment that has a number of them.
        difficulty: a level, or the lowest and the highest.
        language: the language asked for.
        kwargs: arguments of the environment's constructor; `reward_function` needs the same.
        render: makes text of a conversation, as ``Prompter(tokenizer, "r1_zero").text`` does. By
            default prompts are conversations, and TRL applies the model's chat template.

    Raises:
        PalestraError: no such environment, option or task, or it takes several turns.
    """
    from datasets import Dataset

    env = _open(env_id, kwargs)
    count = size if size is not None else env.count(split, language)
    if count is None:
        raise ConfigError(f"{env_id}: its tasks are drawn for ever; say how many: size=1000")
    options: dict[str, object] = {"split": split}
    options |= {"difficulty": difficulty} if difficulty is not None else {}
    options |= {"language": language} if language is not None else {}
    rows: list[dict[str, object]] = []
    for index in range(count):
        _, info = env.reset(options={**options, "index": index})
        messages = cast("list[Message]", info["messages"])
        prompt = messages if render is None else render(messages)
        rows.append({"prompt": prompt, "env_id": env_id, "task_id": info["task_id"]})
    return Dataset.from_list(rows)


def reward_function(
    env_id: str,
    *,
    rewards: Mapping[str, float] | None = None,
    reward_models: Mapping[str, Mapping[str, object]] | None = None,
    kwargs: Mapping[str, object] | None = None,
    prefill: str = "",
) -> RewardFunction:
    """Return a reward function for TRL that grades by an environment.

    Args:
        env_id: the environment, as given to `dataset`.
        rewards: weights of the components and reward models to add up, as in a recipe;
            ``{"accuracy": 1.0}`` by default.
        reward_models: reward models with options, ``{"short": {"type": "overlong", ...}}``, as in
            a recipe.
        kwargs: arguments of the environment's constructor, as given to `dataset`.
        prefill: text that the prompts end with and that belongs to the answer (``<think>``).

    Raises:
        PalestraError: no such environment or reward model, or it takes several turns.
    """
    env = _open(env_id, kwargs)
    blocks = {n: RewardModelBlock.model_validate(b) for n, b in (reward_models or {}).items()}
    models = RewardModels(get_registry(), blocks)
    total = RewardSum(rewards or {"accuracy": 1.0}, models, f"rewards of {env_id}")

    def grade(
        prompts: Sequence[object], completions: Sequence[Completion], **columns: object
    ) -> list[float | None]:
        ids, owners = (_column(columns, name, len(completions)) for name in ("task_id", "env_id"))
        own = [i for i, owner in enumerate(owners) if owner == env_id]
        actions = [prefill + _text(completions[i]) for i in own]
        counted = cast("list[Sequence[int]] | None", columns.get("completion_ids"))
        lengths = [len(counted[i]) if counted is not None else None for i in own]
        paid = _rewards(env, total, [ids[i] for i in own], actions, lengths)
        return [dict(zip(own, paid, strict=True)).get(i) for i in range(len(completions))]

    grade.__name__ = env_id  # what TRL's logs call it
    return grade


def _open(env_id: str, kwargs: Mapping[str, object] | None) -> TextEnv:
    env = open_env(get_registry(), env_id, kwargs or {})
    if env.max_turns != 1:
        raise ConfigError(
            f"{env_id} takes up to {env.max_turns} turns, and TRL's reward functions see one: "
            "train on it with Palestra's own rl stage"
        )
    return env


def _rewards(
    env: TextEnv,
    total: RewardSum,
    ids: Sequence[str],
    actions: Sequence[str],
    lengths: Sequence[int | None],
) -> list[float | None]:
    """Grade completions; None where the environment or a reward model came to no verdict."""
    envs = [copy.copy(env) for _ in ids]
    begun = [e.reset(options={"task_id": id_})[1] for e, id_ in zip(envs, ids, strict=True)]
    infos = [e.step(action)[-1] for e, action in zip(envs, actions, strict=True)]
    for rows in settled_together(envs, infos, ids):
        settled = envs[rows[0]].settle([envs[row] for row in rows[1:]])
        for row, (_, info) in zip(rows, settled, strict=True):
            infos[row] = info
    scored = [
        Scored(
            messages=before["messages"],
            completion=action,
            language=before["language"],
            env_id=env.env_id,
            task_id=task_id,
            group=task_id,
            tokens=length,
            extracted=info["extracted_answer"],
            reference=each.task.reference if each.task is not None else None,
        )
        for each, before, info, action, task_id, length in zip(
            envs, begun, infos, actions, ids, lengths, strict=True
        )
    ]
    return [
        total.total(info["reward_components"], models)
        if info["reward_valid"] and all(score.status.is_valid for score in models.values())
        else None
        for info, models in zip(infos, total.model_scores(scored), strict=True)
    ]


def _column(columns: Mapping[str, object], name: str, length: int) -> list[str]:
    values = columns.get(name)
    if not isinstance(values, list) or len(cast("list[object]", values)) != length:
        raise ConfigError(
            f"the batch has no column '{name}': make the dataset with "
            "palestra.integrations.trl.dataset, and leave GRPOConfig.remove_unused_columns False"
        )
    return cast("list[str]", values)


def _text(completion: Completion) -> str:
    """Return the completion as the policy wrote it, of a conversation the last message."""
    if isinstance(completion, str):
        return completion
    last = completion[-1]
    thoughts, said = last.get("reasoning_content"), str(last.get("content") or "")
    return f"<think>\n{thoughts}\n</think>\n{said}" if thoughts else said
