"""What a recipe would do: every batch-size word resolved, disk, and time. Touches nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palestra.mixture.compose import asked
from palestra.mixture.config import labels
from palestra.recipe.config import Recipe
from palestra.recipe.graph import weights_of
from palestra.recipe.models import ModelRef
from palestra.rollout.config import SamplingConfig
from palestra.stages.config import (
    RejectionSamplingConfig,
    RewardModelConfig,
    RLConfig,
    SFTConfig,
    StageConfig,
)
from palestra.stages.data_config import DataConfig

if TYPE_CHECKING:
    from rich.console import RenderableType

PROMPT_TOKENS = 64
"""Tokens a prompt is taken to have: prompts are only made when a run begins."""
FILLED = 0.5
"""Share of `max_tokens` that a completion is taken to use, for the time estimate."""
# FLOP/s for training and for sampling: measured with the embedded model on one CPU core, and a
# guess for one GPU.
_CPU_CORE = (5e10, 1e10)
_GPU = (1e14, 5e12)
_ROLLOUT_BYTES_PER_TOKEN = 12
_LARGEST_COUNTED_FILE = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    """A model that the recipe names.

    Attributes:
        name: what the recipe calls it.
        kind: ``tiny``, ``path`` or ``hub``.
        source: folder or hub id.
        parameters: how many; None where they cannot be read here.
    """

    name: str
    kind: str
    source: str
    parameters: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """One stage in numbers.

    Attributes:
        name, type, role, init_from: as in the recipe.
        weights_of: whose weights it begins with, looking through stages that do not train.
        sizes: the batch-size words and totals of its type, by name; None where unknown.
        evaluation: how much is evaluated, by name; None for no evaluation.
        disk_bytes: checkpoints and rollouts; None where the model's size is unknown.
        seconds: a rough estimate; None where the model's size is unknown.
    """

    name: str
    type: str
    role: str | None
    init_from: str
    weights_of: str
    sizes: dict[str, int | float | None]
    evaluation: dict[str, int] | None
    disk_bytes: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run of a recipe would do.

    Attributes:
        recipe: name of the recipe.
        seed: its seed.
        model, student: the models.
        engine: the engine's settings.
        model_defaults: what `when_model` set, as dotted path and value.
        stages: the stages that would run, in order.
        disk_bytes, seconds: totals; None where a stage's is unknown.
        assumptions: what the estimates rest on.
    """

    recipe: str
    seed: int
    model: ModelPlan
    student: ModelPlan | None
    engine: dict[str, Any]
    model_defaults: list[tuple[str, object]]
    stages: list[StagePlan]
    disk_bytes: int | None
    seconds: float | None
    assumptions: list[str] = field(default_factory=list[str])

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data, for ``--json``."""
        return {**asdict(self), "model_defaults": dict(self.model_defaults)}

    def __rich__(self) -> RenderableType:
        """Return the plan as a table for people."""
        return render(self)


def plan(recipe: Recipe, stages: Sequence[str] | None = None) -> Plan:
    """Return what running `recipe` means in numbers.

    Args:
        recipe: the recipe.
        stages: names of the stages that would run; all where absent.
    """
    names = list(recipe.stages) if stages is None else list(stages)
    model = _model_plan(recipe.model_ref)
    student = _model_plan(ref) if (ref := recipe.student_ref) is not None else None
    train_rate, sample_rate, machine = _rates()
    planned = [
        _stage_plan(recipe, name, model, student, (train_rate, sample_rate)) for name in names
    ]
    return Plan(
        recipe=recipe.name,
        seed=recipe.seed,
        model=model,
        student=student,
        engine=recipe.engine.model_dump(mode="json"),
        model_defaults=recipe.model_defaults,
        stages=planned,
        disk_bytes=_total([stage.disk_bytes for stage in planned]),
        seconds=_total([stage.seconds for stage in planned]),
        assumptions=[
            f"a prompt has {PROMPT_TOKENS} tokens",
            f"a completion uses {FILLED:.0%} of max_tokens (time), or all of it (tokens, disk)",
            f"{machine}: {train_rate:.0e} FLOP/s training, {sample_rate:.0e} sampling",
            "time is an estimate, good to a factor of about three; environments are not counted",
        ],
    )


def _model_plan(ref: ModelRef) -> ModelPlan:
    return ModelPlan(name=ref.name, kind=ref.kind, source=ref.source, parameters=ref.parameters())


def _rates() -> tuple[float, float, str]:
    if Path("/proc/driver/nvidia/version").exists():
        return (*_GPU, "one GPU")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    return _CPU_CORE[0] * cores, _CPU_CORE[1] * cores, f"{cores} CPU cores"


def _total(parts: Sequence[Any]) -> Any:
    return None if any(part is None for part in parts) else sum(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What a stage costs: tokens through each kind of pass."""

    sizes: dict[str, int | float | None]
    trained_tokens: float | None = 0.0  # forward and backward
    scored_tokens: float = 0.0  # forward only
    sampled_tokens: float = 0.0
    stored_tokens: int = 0  # in rollout files
    checkpoints: bool = False
    keeps_reference: bool = False
    critics: int = 0


def _stage_plan(
    recipe: Recipe,
    name: str,
    model: ModelPlan,
    student: ModelPlan | None,
    rates: tuple[float, float],
) -> StagePlan:
    stage = recipe.stages[name]
    if isinstance(stage, RLConfig):
        work = _rl(recipe, stage)
    elif isinstance(stage, SFTConfig):
        work = _sft(recipe, stage)
    elif isinstance(stage, RejectionSamplingConfig):
        work = _rejection_sampling(recipe, stage)
    elif isinstance(stage, RewardModelConfig):
        work = _reward_model(recipe, stage)
    else:
        work = _Work(sizes={})
    evaluation, evaluated_tokens = _evaluation(stage, work)
    parameters = _parameters(recipe, stage, model, student)
    seconds: float | None = None
    disk: int | None = None
    if parameters is not None:
        if work.trained_tokens is not None:
            trained = (6 * work.trained_tokens + 2 * work.scored_tokens) * parameters / rates[0]
            sampled = 2 * (work.sampled_tokens + evaluated_tokens) * parameters / rates[1]
            seconds = round(trained + sampled, 1)
        disk = work.stored_tokens * _ROLLOUT_BYTES_PER_TOKEN
        if work.checkpoints:
            disk += _checkpoint_bytes(stage, parameters, work)
    return StagePlan(
        name=name,
        type=stage.type,
        role=stage.role,
        init_from=stage.init_from,
        weights_of=weights_of(recipe, stage.init_from),
        sizes=work.sizes,
        evaluation=evaluation,
        disk_bytes=disk,
        seconds=seconds,
    )


def _checkpoint_bytes(stage: StageConfig, parameters: int, work: _Work) -> int:
    """Weights and AdamW's two moments in each checkpoint, and the weights once more at the end."""
    a_checkpoint = parameters * (12 * (1 + work.critics) + (4 if work.keeps_reference else 0))
    kept = stage.keep_last + (1 if stage.best_metric is not None else 0)
    return kept * a_checkpoint + parameters * 4


def _parameters(
    recipe: Recipe, stage: StageConfig, model: ModelPlan, student: ModelPlan | None
) -> int | None:
    root = stage.init_from
    while root not in ("base", "student"):
        root = recipe.stages[root].init_from
    chosen = model if root == "base" else student
    return chosen.parameters if chosen is not None else None


def _micro_steps(recipe: Recipe, sequences: int, tokens_each: int) -> int:
    """Return the most micro-batches that `sequences` can need under the token budget."""
    return ceil(sequences / max(1, recipe.engine.token_budget // tokens_each))


def _rl(recipe: Recipe, stage: RLConfig) -> _Work:
    drawn = _drawn(recipe, stage.mixture, stage.prompts_per_step, stage.group_size, stage.sampling)
    rollouts = drawn.completions
    updates = stage.mini_batches * stage.epochs
    per_update = ceil(rollouts / stage.mini_batches)
    longest = PROMPT_TOKENS + drawn.longest
    seen = stage.steps * (rollouts * PROMPT_TOKENS + FILLED * drawn.tokens)
    has_kl = bool(stage.optimizer.options.get("kl"))
    critics = int(bool(stage.optimizer.options.get("critic")))  # taken to be as large as the policy
    old_pass = updates > 1 and stage.old_logprobs == "recompute"
    return _Work(
        sizes={
            "steps": stage.steps,
            "prompts_per_step": stage.prompts_per_step,
            **drawn.by_source,
            "group_size": stage.group_size,
            "rollouts_per_step": rollouts,
            "sequences_per_update": per_update,
            "micro_steps_per_update_at_most": _micro_steps(recipe, per_update, longest),
            "optimizer_steps_per_step": updates,
            "optimizer_steps": stage.steps * updates,
            "max_new_tokens": drawn.longest,
            "new_tokens_per_step_at_most": drawn.tokens,
            "rollouts": stage.steps * rollouts,
        },
        trained_tokens=seen * stage.epochs * (1 + critics),
        scored_tokens=seen * (has_kl + old_pass + critics),
        sampled_tokens=stage.steps * FILLED * drawn.tokens,
        stored_tokens=stage.steps * drawn.tokens,
        checkpoints=True,
        keeps_reference=has_kl,
        critics=critics,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """What a mixture's sources make of some prompts, on average where weights decide."""

    completions: int
    tokens: int  # at most
    longest: int  # most tokens of one completion
    by_source: dict[str, int | float | None]  # where sources differ in more than their weight


def _drawn(recipe: Recipe, name: str, prompts: int, size: int, sampling: SamplingConfig) -> _Drawn:
    sources = recipe.mixtures[name].sources
    shares = asked(sources, prompts)
    sizes = [source.group_size or size for source in sources]
    limits = [source.max_tokens or sampling.max_tokens for source in sources]
    tokens = [n * k * t for n, k, t in zip(shares, sizes, limits, strict=True)]
    by_source: dict[str, int | float | None] = {}
    if any(s.quota or s.floor or s.group_size or s.max_tokens for s in sources):
        for label, share, own, limit in zip(labels(sources), shares, sizes, limits, strict=True):
            by_source[f"prompts of {label}"] = (
                int(share) if share == int(share) else round(share, 1)
            )
            by_source[f"group size of {label}"] = own
            by_source[f"max new tokens of {label}"] = limit
    return _Drawn(
        completions=ceil(sum(n * k for n, k in zip(shares, sizes, strict=True)) - 1e-6),
        tokens=ceil(sum(tokens) - 1e-6),
        longest=max(t for t, n in zip(limits, shares, strict=True) if n),
        by_source=by_source,
    )


def _sft(recipe: Recipe, stage: SFTConfig) -> _Work:
    counts = [_examples(recipe, item) for item in stage.data]
    examples: int | None = _total(counts)
    updates = stage.steps
    if updates is None and stage.epochs is not None and examples is not None:
        updates = ceil(stage.epochs * examples / stage.batch_size)
    longest = PROMPT_TOKENS + stage.eval_max_tokens
    typical = PROMPT_TOKENS + FILLED * stage.eval_max_tokens
    return _Work(
        sizes={
            "examples_at_most": examples,
            "epochs": stage.epochs,
            "sequences_per_update": stage.batch_size,
            "micro_steps_per_update_at_most": _micro_steps(recipe, stage.batch_size, longest),
            "optimizer_steps": updates,
        },
        trained_tokens=None if updates is None else updates * stage.batch_size * typical,
        checkpoints=True,
    )


def _examples(recipe: Recipe, item: DataConfig) -> int | None:
    """Return how many examples an item of `data` gives at most; None where that is not known."""
    count = item.count
    if item.from_stage is not None:
        maker = recipe.stages[item.from_stage]
        if isinstance(maker, RejectionSamplingConfig):
            count = _kept_at_most(maker)
    elif item.file is not None:
        count = _rows(Path(item.file))
    if item.limit is not None:
        count = item.limit if count is None else min(count, item.limit)
    return None if count is None else count * item.repeat


def _rows(file: Path) -> int | None:
    """Return the rows of a .jsonl file; None for another, or one too large to count."""
    if file.suffix != ".jsonl" or file.stat().st_size > _LARGEST_COUNTED_FILE:
        return None
    with file.open("rb") as lines:
        return sum(1 for line in lines if line.strip())


def _reward_model(recipe: Recipe, stage: RewardModelConfig) -> _Work:
    counts = [_rows(Path(item.file)) for item in stage.data]
    limits = [item.limit for item in stage.data]
    preferences: int | None = _total(
        [
            n if n is None or most is None else min(n, most)
            for n, most in zip(counts, limits, strict=True)
        ]
    )
    updates = stage.steps
    if updates is None and preferences is not None:
        updates = ceil((stage.epochs or 1) * (1 - stage.held_out) * preferences / stage.batch_size)
    sequences = stage.batch_size * (2 if stage.objective == "pairwise" else 1)
    typical = PROMPT_TOKENS + FILLED * stage.eval_max_tokens
    return _Work(
        sizes={
            "preferences_at_most": preferences,
            "preferences_per_update": stage.batch_size,
            "sequences_per_update": sequences,
            "optimizer_steps": updates,
        },
        trained_tokens=None if updates is None else updates * sequences * typical,
        checkpoints=True,
    )


def _kept_at_most(stage: RejectionSamplingConfig) -> int:
    reachable = stage.prompts * stage.keep_per_prompt
    return reachable if stage.max_examples is None else min(reachable, stage.max_examples)


def _rejection_sampling(recipe: Recipe, stage: RejectionSamplingConfig) -> _Work:
    drawn = _drawn(recipe, stage.mixture, stage.prompts, stage.samples, stage.sampling)
    return _Work(
        sizes={
            "prompts": stage.prompts,
            **drawn.by_source,
            "samples_per_prompt": stage.samples,
            "completions": drawn.completions,
            "kept_at_most": _kept_at_most(stage),
            "kept_at_least": stage.min_examples,
            "max_new_tokens": drawn.longest,
            "new_tokens_at_most": drawn.tokens,
        },
        sampled_tokens=FILLED * drawn.tokens,
        stored_tokens=drawn.tokens,
    )


def _evaluation(stage: StageConfig, work: _Work) -> tuple[dict[str, int] | None, float]:
    """Return the evaluation's numbers, and the tokens it is taken to sample."""
    config = stage.eval
    if config is None:
        return None, 0.0
    steps = work.sizes.get("steps") or work.sizes.get("optimizer_steps") or 0
    during = (int(steps) - 1) // config.every if config.every and steps else 0
    each = len(config.envs) * config.questions * (config.samples + config.greedy)
    numbers = {
        "environments": len(config.envs),
        "questions": config.questions,
        "samples": config.samples,
        "greedy": int(config.greedy),
        "completions": each,
        "evaluations": 1 + during,
        "max_new_tokens": stage.eval_max_tokens,
    }
    return numbers, (1 + during) * each * FILLED * stage.eval_max_tokens


def render(planned: Plan) -> RenderableType:
    """Return the plan as something `rich` prints."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    lines: list[RenderableType] = [Text(f"{planned.recipe}, seed {planned.seed}: dry run")]
    for role, model in (("model", planned.model), ("student", planned.student)):
        if model is not None:
            size = f"{model.parameters:,} parameters" if model.parameters else "size unknown"
            lines.append(Text(f"{role} {model.name} ({model.source}): {size}"))
    sampler = planned.engine["sampler"]
    lines.append(
        Text(
            f"sampler {sampler['type']}, {planned.engine['precision']}, "
            f"token budget {planned.engine['token_budget']:,} a micro-batch"
        )
    )
    for path, value in planned.model_defaults:
        lines.append(Text(f"for this model: {path} = {value}"))
    for stage in planned.stages:
        kind = stage.type if stage.role is None else f"{stage.type}, {stage.role}"
        source = stage.init_from
        if stage.weights_of != source:
            source += f" (the weights of {stage.weights_of})"
        heading = Text.assemble("\n", (stage.name, "bold"), f"  {kind}; from {source}")
        parts = [_sentence(stage.sizes)] if stage.sizes else []
        if stage.evaluation is not None:
            parts.append(f"evaluation: {_sentence(stage.evaluation)}")
        parts.append(f"disk {_bytes(stage.disk_bytes)}, time {_duration(stage.seconds)}")
        lines += [heading, *(Padding(Text(part), (0, 0, 0, 4)) for part in parts)]
    total = f"disk {_bytes(planned.disk_bytes)}, time {_duration(planned.seconds)}"
    lines.append(Text.assemble("\n", ("In all", "bold"), f": {total}. These are estimates:"))
    lines += [Padding(Text(line), (0, 0, 0, 4)) for line in planned.assumptions]
    return Group(*lines)


def _sentence(numbers: Mapping[str, int | float | None]) -> str:
    words: list[str] = []
    for name, number in numbers.items():
        if name == "epochs" and number is None:
            continue
        words.append(f"{name.replace('_', ' ')} {'unknown' if number is None else f'{number:,}'}")
    return ", ".join(words)


def _bytes(count: int | None) -> str:
    if count is None:
        return "unknown"
    if count == 0:
        return "-"
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{max(1, round(count / 1e3))} kB"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
