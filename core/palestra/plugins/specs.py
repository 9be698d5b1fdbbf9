"""Specs: what a plugin declares. Plain data; the code behind them loads on first use.

Every field is checked when a plugin is first looked at; a wrong one breaks that plugin alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

API_VERSION = "1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What every kind of component declares.

    Attributes:
        name: what recipes call it.
        entry_point: ``"package.module:Object"``, imported on first use.
        summary: one line for ``palestra plugins ls``.
        config: ``"package.module:Config"``, a pydantic model of its options; "" for none.
            Its module must be cheap to import: recipes are validated through it.
        requires: distributions that the code needs, as pip would take them (``"sympy>=1.12"``).
        api: the versions of Palestra's plugin API that it was written for.
    """

    name: str
    entry_point: str
    summary: str = ""
    config: str = ""
    requires: tuple[str, ...] = ()
    api: str = ">=1,<2"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSpec(Spec):
    """An environment; `name` is its id, ``namespace/Name-vN``.

    Attributes:
        kwargs: arguments of the constructor, as JSON could hold them.
        reward_range: lowest and highest `Score.value`, both finite.
        splits: the splits it offers, of ``train``, ``validation`` and ``test``.
        size: number of tasks a split, or None where they are drawn for ever.
        chance: the share of tasks that a guess gets right, 0 to 1.
        has_reference: whether `reference_completion` earns the maximum.
        deterministic: whether the same completion of the same task always earns the same.
        max_turns: turns an episode may take, 1 or more.
        isolation: ``"inline"`` or ``"process"``.
    """

    kwargs: Mapping[str, object] = field(default_factory=dict[str, object])
    reward_range: tuple[float, float] = (0.0, 1.0)
    splits: tuple[str, ...] = ("train", "validation", "test")
    size: Mapping[str, int] | None = None
    chance: float = 0.0
    has_reference: bool = True
    deterministic: bool = True
    max_turns: int = 1
    isolation: str = "process"


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModelSpec(Spec):
    """A reward model: `palestra.rewards.base.RewardModel`.

    The entry point, a class or a function, is called with an instance of `config`, made of the
    options of the recipe's `reward_models`; with nothing, where there is no `config`. It should be
    quick: what is heavy (weights, connections) waits for the first `score`. Where an option is
    called ``from``, it may name a stage of the run, and holds the stage's model folder by then.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptimizerSpec(Spec):
    """A policy optimizer: `palestra.optimizers.base.PolicyOptimizer`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSpec(Spec):
    """A sampler: `palestra.rollout.samplers.base.Sampler`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec(Spec):
    """A type of stage: `palestra.stages.base.Stage`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec(Spec):
    """A sandbox for untrusted programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurriculumSpec(Spec):
    """A curriculum over a mixture's sources."""
