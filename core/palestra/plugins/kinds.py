"""`Kind`: the seven kinds of component that a plugin can bring, and the names of all hooks."""

from __future__ import annotations

from enum import StrEnum

from palestra.plugins.specs import (
    CurriculumSpec,
    EnvironmentSpec,
    PolicyOptimizerSpec,
    RewardModelSpec,
    SamplerSpec,
    SandboxSpec,
    Spec,
    StageSpec,
)


class Kind(StrEnum):
    """What a name in a recipe can stand for."""

    ENVIRONMENT = "environment"
    REWARD_MODEL = "reward_model"
    POLICY_OPTIMIZER = "policy_optimizer"
    SAMPLER = "sampler"
    SANDBOX = "sandbox"
    CURRICULUM = "curriculum"
    STAGE = "stage"

    @property
    def label(self) -> str:
        """How errors call it: ``policy optimizer``, ``stage type``."""
        return "stage type" if self is Kind.STAGE else self.value.replace("_", " ")

    @property
    def plural(self) -> str:
        """How tables call several: ``policy optimizers``, ``stage types``."""
        bare = self.hook.removeprefix("palestra_").replace("_", " ")
        return "stage types" if self is Kind.STAGE else bare

    @property
    def hook(self) -> str:
        """The hook that declares it: ``palestra_policy_optimizers``."""
        return _FACTS[self][0]

    @property
    def spec_class(self) -> type[Spec]:
        """The class of what the hook returns."""
        return _FACTS[self][1]


_FACTS: dict[Kind, tuple[str, type[Spec]]] = {
    Kind.ENVIRONMENT: ("palestra_environments", EnvironmentSpec),
    Kind.REWARD_MODEL: ("palestra_reward_models", RewardModelSpec),
    Kind.POLICY_OPTIMIZER: ("palestra_policy_optimizers", PolicyOptimizerSpec),
    Kind.SAMPLER: ("palestra_samplers", SamplerSpec),
    Kind.SANDBOX: ("palestra_sandboxes", SandboxSpec),
    Kind.CURRICULUM: ("palestra_curricula", CurriculumSpec),
    Kind.STAGE: ("palestra_stages", StageSpec),
}

OBSERVERS = ("palestra_run_started", "palestra_step_finished", "palestra_stage_finished")
"""The hooks that observe a run; all others declare."""

HOOKS = (*(kind.hook for kind in Kind), *OBSERVERS)
"""Every hook, as `hookspecs` documents them."""
