"""What each built-in type of stage can be told: the keys of a recipe's `stages` and `mixtures`.

These models say what one stage may contain. What a stage has to do with the rest of the recipe
(names, plugins, data that must not overlap) is checked by `palestra.recipe.graph`.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, ClassVar, Literal

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from palestra.config import ConfigModel, PluginBlock
from palestra.evaluation.config import EvalConfig
from palestra.learner.config import LogitsConfig, OptimConfig
from palestra.learner.correction import CorrectionConfig
from palestra.rewards.config import WatchConfig
from palestra.rewards.seen import Sees
from palestra.rollout.config import DEFAULT_MAX_TOKENS, RLSamplingConfig, SamplingConfig
from palestra.stages.data_config import DataConfig
from palestra.stages.filter_config import FilterConfig
from palestra.stages.preference_config import PreferenceDataConfig

Role = Literal[
    "base",
    "zero",
    "cold_start",
    "reasoning_rl",
    "rejection_sampling",
    "sft",
    "r1",
    "student_sft",
    "student_rl",
    "ablation",
]
PROMPTS = ("r1_zero", "chat", "raw")


class OptimizerConfig(PluginBlock):
    """The policy optimizer, ``{type: grpo, clip: 0.2}``; options are its plugin's own."""

    type: str = "grpo"
    """Name of the policy optimizer."""


class StageConfig(ConfigModel):
    """What every stage has. A plugin's stage config derives from this."""

    yields_weights: ClassVar[bool] = True
    """Whether the stage trains; one that does not passes on the weights it was given."""

    yields_policy: ClassVar[bool] = True
    """Whether what the stage ends with writes text; a reward model does not."""

    inherits_eval: ClassVar[bool] = True
    """Whether the recipe's `eval` is the stage's where it has none of its own."""

    type: str
    """Type of the stage."""

    role: Role | None = None
    """The part the stage plays in the story that the report tells."""

    variant: str | None = None
    """What sets this stage apart from others of its role, for tables."""

    init_from: str
    """Weights to begin with: ``base``, ``student``, or the name of an earlier stage."""

    prompt: str = "chat"
    """How messages become text: ``r1_zero``, ``chat``, ``raw``, or a ``.jinja`` file."""

    prefill: str = ""
    """Text that every completion begins with, such as ``"<think>\\n"``."""

    eval: EvalConfig | None = None
    """Evaluation during and after the stage; keys that are absent come from the recipe's `eval`,
    and ``null`` means none. A stage of rejection sampling has none unless it says so."""

    save_steps: int = Field(default=10, ge=1)
    """Steps between checkpoints."""

    keep_last: int = Field(default=2, ge=1)
    """Checkpoints kept of the last ones."""

    best_metric: str | None = None
    """Metric whose best checkpoint is kept too; none where absent."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what the stage reads: where its weights come from, and stages with its data."""
        return (self.init_from,)

    @property
    def eval_max_tokens(self) -> int:
        """New tokens a completion may have when the stage is evaluated."""
        if self.eval is not None and self.eval.max_tokens is not None:
            return self.eval.max_tokens
        sampling = getattr(self, "sampling", None)
        return sampling.max_tokens if isinstance(sampling, SamplingConfig) else DEFAULT_MAX_TOKENS

    @field_validator("prompt")
    @classmethod
    def _prompt(cls, value: str) -> str:
        if value not in PROMPTS and PurePath(value).suffix != ".jinja":
            raise ValueError(
                f"should be one of {', '.join(PROMPTS)}, or a .jinja file, not '{value}'"
            )
        return value


def _default_min_group(values: dict[str, Any]) -> int:
    return min(2, int(values.get("group_size", 2)))


class RLConfig(StageConfig):
    """Reinforcement learning on a mixture."""

    mixture: str
    """Name of the mixture that tasks are drawn from."""

    steps: int = Field(ge=1)
    """Rollouts to make and learn from."""

    prompts_per_step: int = Field(ge=1)
    """Prompts a rollout."""

    group_size: int = Field(ge=1)
    """Completions of each prompt."""

    min_group: int = Field(default_factory=_default_min_group, ge=1)
    """Valid members below which a group is dropped."""

    max_refills: int = Field(default=4, ge=0)
    """Times that a rollout may draw again for groups that were dropped."""

    oversample: float = Field(default=1.0, ge=1.0, le=16.0)
    """Prompts drawn for each that is wanted, for an optimizer that refuses groups: the first usable
    ones count, in the order they were drawn, and what is left is cut off where the sampler can."""

    mini_batches: int = Field(default=1, ge=1)
    """Parts that a rollout is split into: updates a pass."""

    epochs: int = Field(default=1, ge=1)
    """Passes over each rollout."""

    sampling: RLSamplingConfig = Field(default_factory=RLSamplingConfig)
    """How completions are drawn."""

    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    """The policy optimizer and its options."""

    optim: OptimConfig
    """The torch optimizer."""

    reference_every: int = Field(default=0, ge=0)
    """Updates between refreshes of the reference policy; 0 to keep the stage's first weights."""

    old_logprobs: Literal["recompute", "sampler"] = "recompute"
    """Where the log-probs before the first update come from: a pass of the trainer's own, where one
    is needed, or what the sampler said: the loss's ratio, and its clip, are then to the policy that
    sampled."""

    correction: CorrectionConfig | None = None
    """Importance weights for the difference of sampler and trainer; none where absent. They need a
    pass of their own before the first update."""

    staleness: int = Field(default=0, ge=0)
    """Versions of the weights that a rollout may lag behind: with 1 or more it is generated while
    the trainer works. Needs a sampler with weights of its own, and `correction`, or
    ``old_logprobs: sampler``."""

    mismatch_limit: float | None = Field(default=None, gt=0.0)
    """Mean difference of the sampler's and the trainer's log-probs (nats a token) above which the
    run stops; where absent 0.01 in fp32, and 0.1 in bf16 or fp16."""

    watch: WatchConfig | None = None
    """Compares the reward with a gold one that trains nothing; no watch where absent."""

    @field_validator("correction")
    @classmethod
    def _correction(
        cls, value: CorrectionConfig | None, info: ValidationInfo
    ) -> CorrectionConfig | None:
        if value is not None and info.data.get("old_logprobs") == "sampler":
            raise ValueError(
                "compares the trainer's log-probs with the sampler's: it needs "
                "`old_logprobs: recompute`"
            )
        return value

    @field_validator("staleness")
    @classmethod
    def _staleness(cls, value: int, info: ValidationInfo) -> int:
        corrected = info.data.get("correction") is not None
        if value and not corrected and info.data.get("old_logprobs") != "sampler":
            raise ValueError(
                f"{value} trains on tokens of older weights: say how to weigh them, as by "
                "`correction: {type: truncate}`"
            )
        return value

    @field_validator("min_group")
    @classmethod
    def _min_group(cls, value: int, info: ValidationInfo) -> int:
        group_size = info.data.get("group_size")
        if group_size is not None and value > group_size:
            raise ValueError(f"should be at most `group_size`, {group_size}, not {value}")
        return value

    @field_validator("mini_batches")
    @classmethod
    def _mini_batches(cls, value: int, info: ValidationInfo) -> int:
        prompts, group_size = info.data.get("prompts_per_step"), info.data.get("group_size")
        if prompts is not None and group_size is not None and value > prompts * group_size:
            raise ValueError(
                f"should be at most the {prompts * group_size} completions of a rollout "
                f"({prompts} prompts x {group_size}), not {value}"
            )
        return value


def no_staleness(sampler: str) -> str:
    """Return why nothing can be generated ahead with `sampler`."""
    return (
        f"the sampler '{sampler}' reads the weights while they are trained, and cannot generate "
        "beside it. Those that can: vllm-server, vllm"
    )


class SFTConfig(StageConfig):
    """Supervised fine-tuning on examples."""

    data: list[DataConfig] = Field(min_length=1)
    """Where the examples come from; all of them together, shuffled."""

    steps: int | None = Field(default=None, ge=1)
    """Updates to make; exactly one of this and `epochs`."""

    epochs: float | None = Field(default=None, gt=0.0)
    """Passes over the data; exactly one of this and `steps`."""

    batch_size: int = Field(ge=1)
    """Sequences an update."""

    packing: bool = False
    """Whether short examples fill up the rows of long ones in a micro-batch, where padding would
    be. Each sees itself alone, so the gradient is the same."""

    optim: OptimConfig
    """The torch optimizer."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Where the weights come from, and the stages that made the data."""
        stages = (item.from_stage for item in self.data)
        return (self.init_from, *(name for name in stages if name is not None))

    @model_validator(mode="after")
    def _steps_or_epochs(self) -> SFTConfig:
        if (self.steps is None) == (self.epochs is None):
            given = "neither" if self.steps is None else "both"
            raise ValueError(f"should have exactly one of `steps` and `epochs`, not {given}")
        return self


class DistillConfig(SFTConfig):
    """Supervised fine-tuning of a student on what a stronger model wrote."""

    teacher: str
    """Name of the stage whose model wrote the data, or ``base``."""

    logits: LogitsConfig | None = None
    """Learn the teacher's distribution over every completion token instead of the token alone; the
    two models must have one tokenizer. R1 distilled text, which is what is done where absent."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """What any supervised stage reads, and the teacher where its logits are."""
        return (*super().inputs, *([self.teacher] if self.logits is not None else []))


class RejectionSamplingConfig(StageConfig):
    """Sampling completions, and keeping those that earn what is required."""

    yields_weights: ClassVar[bool] = False
    inherits_eval: ClassVar[bool] = False  # it would measure its input's weights again

    mixture: str
    """Name of the mixture that tasks are drawn from."""

    prompts: int = Field(ge=1)
    """Prompts to sample for."""

    samples: int = Field(ge=1)
    """Completions of each prompt."""

    keep_per_prompt: int = Field(default=1, ge=1)
    """Completions kept of one prompt at most."""

    require: dict[str, float] = Field(default_factory=dict[str, float])
    """Lowest value of each named reward component that a kept completion may have."""

    filters: FilterConfig = Field(default_factory=FilterConfig)
    """What a kept completion must be besides."""

    layout: str | None = None
    """How a kept completion is written, as ``"<think>{thinking}</think>{answer}"``: R1's cold start
    put the thought and its summary into a template. As it was sampled where absent."""

    sampling: SamplingConfig = Field(default_factory=SamplingConfig)
    """How completions are drawn."""

    max_examples: int | None = Field(default=None, ge=1)
    """Completions kept in all at most."""

    min_examples: int = Field(default=1, ge=1)
    """Completions kept below which the stage fails."""

    @field_validator("keep_per_prompt")
    @classmethod
    def _keep_per_prompt(cls, value: int, info: ValidationInfo) -> int:
        samples = info.data.get("samples")
        if samples is not None and value > samples:
            raise ValueError(f"should be at most `samples`, {samples}, not {value}")
        return value

    @field_validator("layout")
    @classmethod
    def _layout(cls, value: str | None) -> str | None:
        for part in ("{thinking}", "{answer}") if value is not None else ():
            if str(value).count(part) != 1:
                raise ValueError(f"should have {part} once, not {str(value).count(part)} times")
        return value

    @field_validator("min_examples")
    @classmethod
    def _min_examples(cls, value: int, info: ValidationInfo) -> int:
        prompts, keep = info.data.get("prompts"), info.data.get("keep_per_prompt")
        limit = info.data.get("max_examples")
        if limit is not None and value > limit:
            raise ValueError(f"should be at most `max_examples`, {limit}, not {value}")
        if prompts is not None and keep is not None and value > prompts * keep:
            raise ValueError(
                f"{value} cannot be reached: {prompts} prompts x {keep} kept is {prompts * keep}"
            )
        return value


class RewardModelConfig(StageConfig):
    """Training a reward model on preferences. The defaults are R1's."""

    yields_policy: ClassVar[bool] = False
    inherits_eval: ClassVar[bool] = False  # it answers no questions

    objective: Literal["pairwise", "pointwise"] = "pairwise"
    """``pairwise`` learns which of two completions is better, as R1's helpfulness model;
    ``pointwise`` whether one is good, as its safety model."""

    data: list[PreferenceDataConfig] = Field(min_length=1)
    """Where the preferences come from; all of them together, shuffled."""

    sees: Sees = "answer"
    """What the model sees of a completion: what stands behind the thoughts, as R1's helpfulness
    model, or all of it (``completion``), as its safety model."""

    held_out: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Share of the prompts whose preferences are kept to measure the model by."""

    held_out_every: int = Field(default=0, ge=0)
    """Steps between such measurements; 0 for one at the end."""

    max_length: int = Field(default=8192, ge=1)
    """Tokens of prompt and completion above which a preference is left out."""

    steps: int | None = Field(default=None, ge=1)
    """Updates to make, instead of `epochs`."""

    epochs: float | None = Field(default=None, gt=0.0)
    """Passes over the preferences; 1 where `steps` is absent too."""

    batch_size: int = Field(default=256, ge=1)
    """Preferences an update."""

    optim: OptimConfig = Field(default_factory=lambda: OptimConfig(learning_rate=6e-6))
    """The torch optimizer; R1's learning rate, 6e-6, where absent."""

    @field_validator("prompt")
    @classmethod
    def _own_prompt(cls, value: str) -> str:
        if value not in PROMPTS:
            raise ValueError(f"of a reward model should be one of {', '.join(PROMPTS)}")
        return value

    @model_validator(mode="after")
    def _no_policy(self) -> RewardModelConfig:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("should have `steps` or `epochs`, not both")
        if self.eval is not None:
            raise ValueError(
                "a reward model answers no questions, so it has no `eval`; it is measured on the "
                "share `held_out` of its prompts"
            )
        if self.prefill:
            raise ValueError("a reward model writes nothing, so it has no `prefill`")
        return self


class EvaluateConfig(StageConfig):
    """Evaluation of given weights, nothing else."""

    yields_weights: ClassVar[bool] = False


BUILTIN_STAGES: dict[str, type[StageConfig]] = {
    "rl": RLConfig,
    "sft": SFTConfig,
    "distill": DistillConfig,
    "rejection_sampling": RejectionSamplingConfig,
    "reward_model": RewardModelConfig,
    "evaluate": EvaluateConfig,
}
