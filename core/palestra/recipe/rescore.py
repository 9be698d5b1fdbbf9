"""Grading recorded rollouts again, with the graders as they are now.

The recorded turns go through the collector itself: a sampler that repeats them stands where the
model stood, so environments, rewards and failures are handled as in the run. Neither the model nor
its tokenizer is needed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from palestra.envs import Message, Status
from palestra.errors import ConfigError, PalestraError
from palestra.mixture.config import MixtureConfig
from palestra.mixture.draw import Draw
from palestra.mixture.sources import Source
from palestra.plugins.registry import get_registry
from palestra.recipe.config import Recipe, load_recipe
from palestra.recipe.finished import find_stage
from palestra.recipe.reward_models import make_reward_models
from palestra.rewards.models import RewardModels
from palestra.rollout.collection import Collection
from palestra.rollout.play import roll_out
from palestra.rollout.prompting import Prompter
from palestra.rollout.recorded import RecordedStage, Row, by_group, read_step
from palestra.rollout.samplers.base import Completion, Request, Sampler, SamplingParams
from palestra.rollout.trajectory import Trajectory
from palestra.seeding import derive_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Regraded:
    """A recorded trajectory, and what it earns now.

    Attributes:
        row: the record.
        reward: what it earns now; nothing where `status` is no verdict.
        components: the named scores now.
        status: of this grading; ``error`` too where the recorded episode could not be repeated.
        reason: why there is no verdict, or what the grader says.
    """

    row: Row
    reward: float
    components: Mapping[str, float]
    status: Status
    reason: str

    @property
    def is_changed(self) -> bool:
        """Whether status, reward or components differ from the record, by more than rounding.

        What a network gives depends in its last digits on what stands beside it in the batch.
        """
        was = {"": self.row["reward"], **json.loads(self.row["components"])}
        now = {"": self.reward, **self.components}
        if self.row["status"] != str(self.status) or was.keys() != now.keys():
            return True
        return not all(math.isclose(was[k], now[k], rel_tol=1e-5, abs_tol=1e-6) for k in was)


def load_run_recipe(run: Path) -> Recipe:
    """Return the resolved recipe that a run's folder holds.

    Raises:
        ConfigError: there is none, or what it names is not here any more.
    """
    return load_recipe(run / "recipe.yaml")


def rescore(recipe: Recipe, stage: RecordedStage, step: int) -> list[Regraded]:
    """Grade the rollouts of a step again.

    Args:
        recipe: the run's, from its folder.
        stage: the stage.
        step: the step.

    Returns:
        One for each recorded trajectory, groups by number. What cannot be graded has a status
        that says so; it is never a reward of 0.

    Raises:
        ConfigError: the recipe has no such stage, or no such step was recorded.
        DataError: the record is damaged.
    """
    mixture = getattr(recipe.stages.get(stage.name), "mixture", None)
    if mixture is None:
        raise ConfigError(f"{stage.folder}: the recipe has no stage '{stage.name}' with a mixture")
    models = make_reward_models(recipe, lambda origin: _weights_of(recipe, stage, origin))
    sources = _sources(recipe.mixtures[mixture], f"mixtures.{mixture}", models)
    regraded: list[Regraded] = []
    for number, rows in by_group(read_step(stage.file(step))).items():
        seed = derive_seed(recipe.seed, "task", stage.name, number)  # as the mixture drew it
        try:
            regraded += _regrade(rows, number, seed, sources)
        except PalestraError as exc:
            regraded += [_failed(row, str(exc)) for row in rows]
    return regraded


def _weights_of(recipe: Recipe, stage: RecordedStage, origin: str) -> str:
    """Return the weights that `origin`, which reward models are made from, has in the run."""
    if origin in recipe.stages:
        return str(find_stage(str(stage.folder.parents[1]), origin).weights)
    reference = recipe.model_ref if origin == "base" else recipe.student_ref
    assert reference is not None, "the graph was validated"
    return reference.source


def _sources(config: MixtureConfig, where: str, models: RewardModels) -> list[Source]:
    """Return the mixture's sources; one that would stop the run at a failure only says so here."""
    sources: list[Source] = []
    for i, source in enumerate(config.sources):
        how = "retry" if source.on_grader_error == "retry" else "mask"
        changed = source.model_copy(update={"group_size": None, "on_grader_error": how})
        sources.append(Source(changed, get_registry(), f"{where}.sources.{i}", models))
    return sources


def _regrade(
    rows: Sequence[Row], number: int, seed: int, sources: Sequence[Source]
) -> list[Regraded]:
    turns = [_turns(row) for row in rows]
    playable = [i for i, said in enumerate(turns) if said is not None]
    out = {
        i: _failed(row, "recorded by an older version, which did not keep the turns apart")
        for i, row in enumerate(rows)
        if i not in playable
    }
    if playable:
        replay = _Replay([cast("list[str]", turns[i]) for i in playable], rows, number)
        draw = Draw(
            number=number,
            source=int(rows[0]["source"]),
            env_seed=seed,
            options={"task_id": rows[0]["task_id"]},
        )
        how = Collection(params=SamplingParams(), group_size=len(playable))
        group = roll_out([draw], sources, replay, cast("Prompter", replay), how)[0]
        for place, member in zip(playable, group.members, strict=True):
            said = cast("list[str]", turns[place])
            out[place] = _compared(rows[place], member, len(said), replay)
    return [out[i] for i in range(len(rows))]


def _turns(row: Row) -> list[str] | None:
    """Return the policy's turns; None where an older record has them in one text only."""
    if row.get("actions"):
        return list(row["actions"])
    runs = sum(own for own, _ in groupby(row["loss_mask"]))
    return [row["completion"]] if runs == 1 else None


def _compared(row: Row, member: Trajectory, turns: int, replay: _Replay) -> Regraded:
    if member.prompt_hash != row["prompt_hash"]:
        return _failed(row, f"task {row['task_id']} is not what it was: its prompt has changed")
    if member.turns != turns:
        more = "goes on after" if member.turns > turns else "ends before"
        return _failed(row, f"the conversation {more} the last of its {turns} recorded turns")
    return Regraded(
        row=row,
        reward=member.reward,
        components=member.components,
        status=member.status,
        reason=member.reason,
    )


def _failed(row: Row, reason: str) -> Regraded:
    return Regraded(row=row, reward=0.0, components={}, status=Status.ERROR, reason=reason)


class _Replay(Sampler):
    """Sampler and prompter at once: a turn is one token, which stands for what was said.

    Args:
        turns: what each member said, turn by turn.
        rows: their records.
        number: the group's.
    """

    continuous = False
    stop_token_ids = (0,)

    def __init__(self, turns: Sequence[list[str]], rows: Sequence[Row], number: int) -> None:
        self._said = [text for member in turns for text in member]
        self._places: dict[int, tuple[int, Literal["stop", "length"]]] = {}
        place = 0
        for member, (said, row) in enumerate(zip(turns, rows, strict=False)):
            for turn in range(len(said)):
                is_cut = row["stop_reason"] == "length" and turn == len(said) - 1
                key = derive_seed(0, number, member, turn)
                self._places[key] = (place, "length" if is_cut else "stop")
                place += 1

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Repeat the recorded turn; a turn beyond them is empty, and found out later."""
        for index, request in enumerate(requests):
            place, reason = self._places.get(request.seed, (len(self._said), "stop"))
            yield Completion(
                index=index,
                token_ids=(place,),
                logprobs=np.zeros(1, dtype=np.float32),
                stop_reason=reason,
            )

    def update_weights(self, tensors: Iterator[tuple[str, Any]], version: int) -> None:
        """There are none."""

    def sleep(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""

    def token_at(self, completion_ids: Sequence[int], char_end: int) -> int:
        """A turn is one token, and its process rewards fall on it."""
        return 0

    def open(self, messages: Sequence[Message], tools: object = ()) -> tuple[int, ...]:
        """A conversation needs no tokens."""
        return (0,)

    def action(self, completion_ids: Sequence[int]) -> str:
        """Return what the token stands for."""
        return self._said[completion_ids[0]] if completion_ids[0] < len(self._said) else ""

    def extend(
        self, messages: Sequence[Message], tools: object = (), *, ended: bool
    ) -> tuple[int, ...]:
        """Nor does an observation."""
        return (0,)
