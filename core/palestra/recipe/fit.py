"""Whether a stage can draw from its mixture: quotas, group sizes, sampling, curricula."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from palestra.errors import PalestraError
from palestra.mixture.compose import why_not
from palestra.mixture.config import SourceConfig
from palestra.plugins.registry import Kind, get_registry
from palestra.recipe.document import KeyPath
from palestra.stages.config import RejectionSamplingConfig, RLConfig, no_staleness

if TYPE_CHECKING:
    from palestra.recipe.config import Recipe

Problem = tuple[KeyPath, str]


def unfit(recipe: Recipe, name: str, mixture_name: str) -> Iterator[Problem]:
    """Yield what keeps the stage `name` from drawing from its mixture, and where that is written.

    Args:
        recipe: the recipe, its mixture found.
        name: the stage's.
        mixture_name: the mixture's.
    """
    stage, mixture = recipe.stages[name], recipe.mixtures[mixture_name]
    here: KeyPath = ("mixtures", mixture_name)
    sampler = recipe.engine.sampler.type
    if isinstance(stage, RLConfig) and stage.staleness and sampler == "transformers":
        yield ("stages", name, "staleness"), no_staleness(sampler)
    if isinstance(stage, RLConfig) and stage.reference_every and recipe.engine.lora is not None:
        message = "with engine.lora the reference is the model without its adapters, which never "
        yield ("stages", name, "reference_every"), message + "moves: leave it at 0"
    if isinstance(stage, RLConfig):
        count, key = stage.prompts_per_step, "prompts_per_step"
    elif isinstance(stage, RejectionSamplingConfig):
        count, key = stage.prompts, "prompts"
    else:
        return
    bound = [s for s in mixture.sources if s.quota or s.floor]
    if isinstance(stage, RLConfig) and stage.oversample > 1 and bound:
        message = "what is used of the prompts drawn would not hold the quota or floor of "
        yield (
            ("stages", name, "oversample"),
            f"{message}{bound[0].env}; draw by weights alone, or leave it out",
        )
    if (why := why_not(mixture.sources, count)) is not None:
        yield (*here, "sources"), f"{why}, and {key} of stage '{name}' is {count}; change either"
    if mixture.curriculum is not None and not isinstance(stage, RLConfig):
        message = f"a curriculum moves with the steps of an rl stage, and '{name}' is none; "
        yield (*here, "curriculum"), message + "let it draw from a mixture without one"
    for index, source in enumerate(mixture.sources):
        at: KeyPath = (*here, "sources", index)
        if isinstance(stage, RLConfig):
            yield from _group_size(at, source, name, stage)
            yield from _sampling(at, source, name, stage)
        elif source.group_size is not None and source.group_size < stage.keep_per_prompt:
            message = f"should be at least keep_per_prompt of stage '{name}', "
            yield (*at, "group_size"), f"{message}{stage.keep_per_prompt}, not {source.group_size}"


def _group_size(at: KeyPath, source: SourceConfig, name: str, stage: RLConfig) -> Iterator[Problem]:
    """Refuse groups that the optimizer cannot compare, or that would be dropped every time."""
    size = source.group_size
    if size is None:
        return
    try:
        config = get_registry().config(Kind.POLICY_OPTIMIZER, stage.optimizer.type)
    except PalestraError:
        return  # said where the stage names it
    smallest = getattr(config, "min_group_size", 1)
    if isinstance(smallest, int) and size < smallest:
        message = f"should be at least {smallest} with {stage.optimizer.type}, which stage '{name}'"
        yield (*at, "group_size"), f"{message} learns by, not {size}"
    elif size < stage.min_group:
        message = f"should be at least min_group of stage '{name}', {stage.min_group}, not {size}"
        yield (*at, "group_size"), f"{message}: every group would be dropped"


def _sampling(at: KeyPath, source: SourceConfig, name: str, stage: RLConfig) -> Iterator[Problem]:
    """Refuse what the log-probs of the loss would not be of: one softmax for the whole batch."""
    wanted = {"temperature": stage.sampling.temperature, "top_p": 1.0, "top_k": 0}
    for key, value in source.sampling.model_dump(exclude_none=True).items():
        if value != wanted[key]:
            message = f"should be {wanted[key]:g} in the rl stage '{name}', not {value:g}: the loss"
            yield (
                (*at, "sampling", key),
                f"{message} takes all log-probs of a batch under one full softmax",
            )
