"""Drawing from a mixture: the n-th draw of a stage is a function of the run's seed and n.

With a curriculum it is one of the curriculum's state too; with quotas or floors, of the step it
falls in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from palestra.mixture.compose import Composer, asked
from palestra.mixture.config import MixtureConfig, labels
from palestra.mixture.curriculum import GuardedCurriculum, Outcome
from palestra.mixture.sources import Source, make_sources
from palestra.mixture.tally import Tally
from palestra.plugins.registry import Registry
from palestra.rewards.models import RewardModels
from palestra.seeding import derive_seed, rng


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One prompt to roll out.

    Attributes:
        number: how many were drawn before it in this stage.
        source: index of its source.
        env_seed: what every member of its group resets the environment with.
        options: options of `reset`, beside the source's.
    """

    number: int
    source: int
    env_seed: int
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Mixture:
    """Sources of tasks with a cursor, and what they have given so far.

    Args:
        sources: where tasks come from.
        seed: the run's seed.
        stream: names this mixture's use (the stage), so that stages draw independently.
        curriculum: moves weights and difficulty, where the mixture has one.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        seed: int,
        stream: str,
        curriculum: GuardedCurriculum | None = None,
    ) -> None:
        self.sources = sources
        self.cursor = 0
        self.steps = 0
        self._seed, self._stream = seed, stream
        self._configs = [source.config for source in sources]
        self._composer = Composer(self._configs, seed, stream)
        self._curriculum = curriculum
        self._tally = Tally(self._configs, [source.where for source in sources])
        self._asked_for = 0

    @property
    def labels(self) -> list[str]:
        """What metrics call each source."""
        return labels(self._configs)

    def draw(self, count: int, replacing: Sequence[int] = (), spare: int = 0) -> list[Draw]:
        """Return the next `count` draws and `spare` more, and move the cursor.

        Args:
            count: prompts of a step, or of its refill.
            replacing: sources of the groups that a refill makes up for: where quotas or floors
                bind, a group that was dropped is replaced by one of its own source.
            spare: prompts of which only some will be used; not where quotas or floors bind.
        """
        if not replacing:
            self._asked_for = count
        if replacing and self._composer.binds:
            dealt = list(replacing)
        else:
            dealt = self._composer.deal(self.cursor, count + spare, self._weights())
        drawn = [self._at(self.cursor + i, source) for i, source in enumerate(dealt)]
        self.cursor += len(drawn)
        return drawn

    def observe(self, outcomes: Sequence[Outcome]) -> dict[str, float]:
        """Take in what became of a step's prompts, and return metrics of the mixture.

        Args:
            outcomes: of all prompts of the step, those of all processes, by number.

        Raises:
            GraderFailed: a source's grader fails too often.
            PluginError: the curriculum raised.
        """
        self._tally.add(outcomes, asked(self._configs, self._asked_for, self._weights()))
        self.steps += 1
        if self._curriculum is None:
            return {}
        metrics = self._curriculum.metrics()  # what this step was drawn by
        self._curriculum.observe(outcomes)
        return metrics

    def report(self) -> dict[str, dict[str, float | int]]:
        """Return each source's asked and realised share over the stage, and its counts."""
        return self._tally.report()

    def _weights(self) -> list[float]:
        own = [config.weight for config in self._configs]
        moved = self._curriculum.weights(self.steps + 1) if self._curriculum is not None else None
        if moved is None:
            return own
        return [0.0 if c.quota else w for c, w in zip(self._configs, moved, strict=True)]

    def _at(self, number: int, source: int) -> Draw:
        options: dict[str, Any] = {}
        if self._curriculum is not None:
            generator = rng(self._seed, "curriculum", self._stream, number)
            options = self._curriculum.options(source, self.steps + 1, generator)
        return Draw(
            number=number,
            source=source,
            env_seed=derive_seed(self._seed, "task", self._stream, number),
            options=options,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        state: dict[str, Any] = {
            "cursor": self.cursor,
            "steps": self.steps,
            "tally": self._tally.state_dict(),
        }
        if self._curriculum is not None:
            state["curriculum"] = self._curriculum.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.cursor, self.steps = int(state["cursor"]), int(state["steps"])
        self._tally.load_state_dict(state["tally"])
        if self._curriculum is not None:
            self._curriculum.load_state_dict(state["curriculum"])


def make_mixture(
    config: MixtureConfig,
    registry: Registry,
    where: str,
    seed: int,
    stream: str,
    models: RewardModels | None = None,
) -> Mixture:
    """Return the mixture that a recipe describes.

    Args:
        config: what the recipe says of it.
        registry: where environments and the curriculum come from.
        where: how errors name it, as in ``mixtures.reasoning``.
        seed: the run's seed.
        stream: names its use (the stage).
        models: the run's reward models; the registered ones where absent.
    """
    sources = make_sources(config, registry, where, models)
    curriculum = None
    if config.curriculum is not None:
        curriculum = GuardedCurriculum(config.curriculum, registry, config.sources, where)
    return Mixture(sources, seed, stream, curriculum)
