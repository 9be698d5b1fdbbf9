"""`win_rate`: how often a judge prefers a model's answers to a baseline's on the same prompts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palestra.envs import Message
from palestra.errors import ConfigError, DataError
from palestra.evaluation.metrics import Measure, mean_measure
from palestra.rewards.base import Scored
from palestra.rollout.samplers.base import Request, Sampler, SamplingParams
from palestra.seeding import derive_seed

if TYPE_CHECKING:
    from palestra.rollout.prompting import Prompter

COLUMNS = ("prompt", "answer")


def read_baseline(file: Path, limit: int | None = None) -> list[tuple[str, str]]:
    """Return prompts and the baseline's answers, a JSON object with both a line.

    Raises:
        ConfigError: there is no such file.
        DataError: a line is not such an object; the text names it.
    """
    if not file.is_file():
        raise ConfigError(f"no file {file}: lines of {{'prompt': …, 'answer': …}}")
    rows: list[tuple[str, str]] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if limit is not None and len(rows) == limit:
            break
        try:
            row: Any = json.loads(line)
            prompt, answer = (row[column] for column in COLUMNS)
        except (ValueError, TypeError, KeyError) as exc:
            raise DataError(f"{file}:{number}: no object with 'prompt' and 'answer'") from exc
        rows.append((str(prompt), str(answer)))
    if not rows:
        raise DataError(f"{file}: no rows")
    return rows


def win_rate(
    baseline: Sequence[tuple[str, str]],
    judge: Any,
    prompter: Prompter,
    sampler: Sampler,
    params: SamplingParams,
    seed: int,
) -> tuple[Measure, int]:
    """Return the share of prompts on which `judge` prefers the sampled answer, and its failures.

    Arena-Hard's measure (arXiv 2501.12948, Section D.1): half a win for a draw. Positions are
    swapped by the judge (``judge_pairs``), which sees the answers without their thoughts.

    Args:
        baseline: prompts with the answers to beat.
        judge: a reward model that compares the members of a group.
        prompter: of the model.
        sampler: of the model.
        params: how answers are drawn.
        seed: of the noise.
    """
    asked: list[list[Message]] = [[{"role": "user", "content": p}] for p, _ in baseline]
    requests = [
        Request(
            token_ids=prompter.open(messages),
            seed=derive_seed(seed, "win rate", number),
            params=params,
            stop_token_ids=prompter.stop_token_ids,
        )
        for number, messages in enumerate(asked)
    ]
    drawn = sampler.generate(requests)
    own = {completion.index: prompter.action(completion.token_ids) for completion in drawn}
    batch: list[Scored] = []
    for number, (messages, (_, answer)) in enumerate(zip(asked, baseline, strict=True)):
        for text in (own[number], answer):
            batch.append(
                Scored(
                    messages=messages,
                    completion=text,
                    language=None,
                    env_id="win rate",
                    task_id=str(number),
                    group=number,
                )
            )
    scores = list(judge.score(batch))[::2]
    spoken = [score.value for score in scores if score.status.is_valid]
    return mean_measure("win rate", spoken), len(scores) - len(spoken)
