"""The curriculum contract: what decides how hard the next tasks of a mixture are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

from palestra.config import ConfigModel
from palestra.errors import PluginError, boundary, did_you_mean
from palestra.mixture.config import CurriculumConfig, SourceConfig
from palestra.plugins.registry import Kind, Registry

if TYPE_CHECKING:
    import numpy as np

OPTIONS = ("difficulty", "language", "index")
"""Options of `reset` that a curriculum may set: not the split, which keeps test tasks out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one prompt.

    Attributes:
        source: index of its source.
        number: how many prompts were drawn before it in this stage.
        task_id: which task.
        difficulty: its level, where the environment says.
        kept: whether it is trained on.
        rewards: the training reward of each valid member of its group.
        components: the named scores of each valid member.
        failed: members whose grading failed; they are in neither list.
        reason: why, of the first.
    """

    source: int
    number: int
    task_id: str
    difficulty: int | None
    kept: bool
    rewards: tuple[float, ...]
    components: tuple[Mapping[str, float], ...]
    failed: int = 0
    reason: str = ""

    @property
    def members(self) -> int:
        """Completions that were judged, or should have been."""
        return len(self.rewards) + self.failed


class Curriculum:
    """Decides weights and reset options from step to step; the same on every process.

    Whatever it does must follow from its config, the step, the generator it is given, and what it
    has observed: then a resumed run goes on as if it had never stopped. What it remembers belongs
    in `state_dict`, as plain data.

    Example:
        >>> class Ladder(Curriculum):
        ...     def options(self, source, step, generator):
        ...         return {"difficulty": 1 + step // 100}

    Args:
        config: the options of the recipe's block, checked by `Config`.
        sources: the mixture's sources, in the order of the recipe.
    """

    class Config(ConfigModel):
        """Options of the mixture's `curriculum` block."""

    def __init__(self, config: Any, sources: Sequence[SourceConfig]) -> None:
        self.config = config
        self.sources = sources

    def weights(self, step: int) -> Sequence[float] | None:
        """Return one weight for each source, or None to leave the recipe's.

        Args:
            step: the step that is about to be drawn, from 1.
        """
        return None

    def options(
        self, source: int, step: int, generator: np.random.Generator
    ) -> Mapping[str, object]:
        """Return options of `reset` for one prompt, on top of its source's.

        Args:
            source: index of the source.
            step: the step that is drawn, from 1.
            generator: the prompt's own; the same whenever this prompt is drawn again.
        """
        return {}

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """See what became of a step's prompts, those of all processes, in the order of numbers."""

    def metrics(self) -> Mapping[str, float]:
        """Return numbers for the step's metrics, such as the level that a source stands at."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs, as plain data."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""


class GuardedCurriculum:
    """A plugin's curriculum behind one boundary: what it raises, or returns wrongly, names it.

    Args:
        block: the recipe's block.
        registry: where the curriculum comes from.
        sources: the mixture's.
        where: how errors name the mixture.

    Raises:
        NotFound: no curriculum has the name.
        PluginError: its constructor raised.
    """

    def __init__(
        self,
        block: CurriculumConfig,
        registry: Registry,
        sources: Sequence[SourceConfig],
        where: str,
    ) -> None:
        found = registry.find(Kind.CURRICULUM, block.type)
        self._what = f"{where}.curriculum: curriculum '{block.type}' ({found.distribution})"
        factory = cast("type[Curriculum]", registry.load(Kind.CURRICULUM, block.type))
        config = registry.config(Kind.CURRICULUM, block.type)
        with boundary(PluginError, f"{self._what}: cannot be made"):
            options = config.model_validate(block.options) if config else None
            self._inner = factory(options, sources)
        self._count = len(sources)

    def weights(self, step: int) -> list[float] | None:
        """Return the curriculum's weights, checked."""
        with boundary(PluginError, f"{self._what}: weights({step})"):
            given = self._inner.weights(step)
            if given is None:
                return None
            weights = [float(weight) for weight in given]
            if len(weights) != self._count:
                raise ValueError(f"{len(weights)} weights for {self._count} sources")
            if not all(isfinite(weight) and weight >= 0 for weight in weights):
                raise ValueError(f"a weight is a number of at least 0: {weights}")
            return weights

    def options(self, source: int, step: int, generator: np.random.Generator) -> dict[str, object]:
        """Return the curriculum's options for one prompt, checked."""
        with boundary(PluginError, f"{self._what}: options({source}, {step})"):
            options = dict(self._inner.options(source, step, generator))
            for name in options:
                if name not in OPTIONS:
                    raise ValueError(
                        f"unknown option '{name}'.{did_you_mean(name, OPTIONS)} "
                        f"A curriculum may set: {', '.join(OPTIONS)}"
                    )
            return options

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Pass on what became of a step's prompts."""
        with boundary(PluginError, f"{self._what}: observe"):
            self._inner.observe(outcomes)

    def metrics(self) -> dict[str, float]:
        """Return the curriculum's numbers under ``curriculum/NAME``."""
        with boundary(PluginError, f"{self._what}: metrics"):
            return {f"curriculum/{k}": float(v) for k, v in self._inner.metrics().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the curriculum's state."""
        with boundary(PluginError, f"{self._what}: state_dict"):
            return self._inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the curriculum where it was."""
        with boundary(PluginError, f"{self._what}: load_state_dict"):
            self._inner.load_state_dict(state)
