"""The reward-model contract, and the weighted sum that a policy is trained on."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from palestra.envs import Message, Score
from palestra.envs.score import STEPS
from palestra.errors import ConfigError, GraderFailed, boundary, did_you_mean
from palestra.rewards.models import RewardModels


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a reward model sees of one episode.

    Attributes:
        messages: the prompt's conversation.
        completion: the policy's last turn, prefill included, special tokens kept.
        language: the language asked for, if any.
        env_id: where the task comes from.
        task_id: which task.
        group: the same for completions of one prompt that were rolled out together, which are all
            in one batch; None where nothing is known of groups.
        tokens: of the policy in the whole episode, its end token included; None where they were
            not counted.
        truncated: whether the completion was cut at `max_tokens`.
        extracted: the answer that the environment read out of it.
        reference: the task's reference. A reward model that shows it to a policy gives it away.
    """

    messages: Sequence[Message]
    completion: str
    language: str | None
    env_id: str
    task_id: str
    group: Hashable = None
    tokens: int | None = None
    truncated: bool = False
    extracted: str | None = None
    reference: object = None


class RewardModel(Protocol):
    """Scores completions, a batch at a time."""

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        """Return one `Score` for each item, in order."""
        ...


class RewardSum:
    """The training reward of one mixture source: the weighted sum of the components it names.

    A name may be a component that the environment emits, or a reward model. Where both offer it,
    the recipe must say ``env.NAME`` or ``model.NAME``.

    Args:
        weights: component name to weight.
        models: the run's reward models; those that are named are made at the first scoring.
        where: how errors name this source.

    Raises:
        ConfigError: ``model.NAME`` is no reward model.
    """

    def __init__(self, weights: Mapping[str, float], models: RewardModels, where: str) -> None:
        self.weights = dict(weights)
        self.where = where
        self._models, self._known = models, models.names
        self._named: dict[str, str] = {}  # what the source writes, and whom it means
        for name in self.weights:
            bare = name.removeprefix("model.")
            if bare in self._known and not name.startswith("env."):
                self._named[name] = bare
            elif name != bare:
                hint = did_you_mean(bare, self._known)
                raise ConfigError(f"{where}: no reward model '{bare}'.{hint}")

    def model_scores(self, batch: Sequence[Scored]) -> list[dict[str, Score]]:
        """Return, for each item, the score of every reward model that the source names.

        One that raises fails the whole batch: no score of it is a verdict then.
        """
        out: list[dict[str, Score]] = [{} for _ in batch]
        for name, bare in self._named.items():
            model = self._models.get(bare)
            try:
                with boundary(GraderFailed, f"{self.where}: reward model '{name}'"):
                    scores = model.score(batch)
                    if len(scores) != len(batch):
                        raise ValueError(f"{len(scores)} scores for {len(batch)} completions")
            except GraderFailed as exc:
                scores = [Score.failed(str(exc)) for _ in batch]
            for row, score in zip(out, scores, strict=True):
                row[name] = score
        return out

    def total(
        self,
        components: Mapping[str, float],
        models: Mapping[str, Score] | None,
        earlier: Collection[str] = (),
    ) -> float:
        """Return the weighted sum for one turn.

        Args:
            components: what the environment emits for this turn; nothing, where it has no score.
            models: what the reward models say of the last turn; None for an earlier one, which is
                paid for the environment's components alone.
            earlier: components that the environment emitted for earlier turns.

        Raises:
            ConfigError: at the last turn, a named component is offered by nobody, or by both sides.
        """
        return self._total(self.weights, components, models, earlier)

    def split(
        self,
        components: Mapping[str, float],
        steps: Sequence[tuple[int, float]],
        models: Mapping[str, Score] | None,
        earlier: Collection[str] = (),
    ) -> tuple[list[tuple[int, float]], float | None]:
        """Return `total` in parts: by steps, and what falls at the end of the turn.

        Args:
            components: as in `total`.
            steps: the environment's process rewards, ``(char_end, value)``.
            models: as in `total`; one whose score has steps is paid by them, not by its value.
            earlier: as in `total`.

        Returns:
            ``(char_end, weighted value)`` of each step that is paid, and the rest: None where the
            source names nothing that is paid at the end.
        """
        weight = self.weights.get(STEPS, self.weights.get(f"env.{STEPS}"))
        paid = [] if weight is None else [(end, weight * value) for end, value in steps]
        by_step = {STEPS, f"env.{STEPS}"}
        for name, score in (models or {}).items():
            if score.steps:
                by_step.add(name)
                paid += [(end, self.weights[name] * value) for end, value in score.steps]
        rest = [name for name in self.weights if name not in by_step]
        if paid and not rest:
            return paid, None
        return paid, self._total(rest, components, models, earlier)

    def _total(
        self,
        names: Collection[str],
        components: Mapping[str, float],
        models: Mapping[str, Score] | None,
        earlier: Collection[str],
    ) -> float:
        total = 0.0
        for name in names:
            weight = self.weights[name]
            bare = name.removeprefix("env.")
            if models is not None and name in models:
                if name in components:
                    raise ConfigError(
                        f"{self.where}: both the environment and a reward model offer '{name}'. "
                        f"Write 'env.{name}' or 'model.{name}'"
                    )
                total += weight * models[name].paid
            elif bare in components:
                total += weight * components[bare]
            elif bare != STEPS and models is not None and components and bare not in earlier:
                offered = [*components, *self._known]
                raise ConfigError(
                    f"{self.where}: no reward '{name}'.{did_you_mean(name, offered)} "
                    f"The environment emits: {', '.join(components)}; "
                    f"reward models: {', '.join(self._known)}"
                )
        return total
