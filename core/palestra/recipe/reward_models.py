"""The reward models of a recipe: who uses which, what they are made from, and making them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from palestra.errors import ConfigError, PalestraError, did_you_mean
from palestra.plugins.registry import Kind, get_registry
from palestra.recipe.document import KeyPath
from palestra.recipe.explain import explain
from palestra.recipe.models import resolve_model
from palestra.rewards.config import RewardModelBlock
from palestra.rewards.models import RewardModels
from palestra.stages.config import RLConfig

if TYPE_CHECKING:
    from palestra.recipe.config import Recipe

ROOTS = ("base", "student")


def used_models(recipe: Recipe, stage_name: str) -> dict[str, RewardModelBlock]:
    """Return the entries of `reward_models` that a stage's rewards name, in their order."""
    named = _named(recipe, stage_name)
    return {name: block for name, block in recipe.reward_models.items() if name in named}


def _named(recipe: Recipe, stage_name: str) -> list[str]:
    """Return what a stage's rewards, judges and watch name, models or not, without ``model.``."""
    stage = recipe.stages[stage_name]
    mixture = recipe.mixtures.get(str(getattr(stage, "mixture", "")))
    sources = mixture.sources if mixture is not None else ()
    names = [name for source in sources for name in source.rewards]
    names += getattr(getattr(stage, "filters", None), "judges", {})
    if isinstance(stage, RLConfig) and stage.watch is not None:
        names.append(stage.watch.gold)
    bare = (name.removeprefix("model.") for name in names if not name.startswith("env."))
    return list(dict.fromkeys(bare))


def origin_stages(recipe: Recipe, stage_name: str) -> tuple[str, ...]:
    """Return the stages (or ``base``, ``student``) that a stage's reward models are made from."""
    origins = (block.origin for block in used_models(recipe, stage_name).values())
    return tuple(o for o in origins if o is not None and (o in ROOTS or o in recipe.stages))


def model_facts(recipe: Recipe, stage_name: str) -> dict[str, Any]:
    """Return all that decides how a stage's reward models score, but for weights of stages."""
    facts: dict[str, Any] = {}
    for name, block in used_models(recipe, stage_name).items():
        facts[name] = block.model_dump(mode="json")
        if block.origin is not None and block.origin not in (*ROOTS, *recipe.stages):
            facts[name]["from"] = resolve_model(block.origin).identity()
    return facts


def make_reward_models(recipe: Recipe, weights_of: Callable[[str], str]) -> RewardModels:
    """Return the reward models of a run.

    Args:
        recipe: the recipe.
        weights_of: returns the weights of a finished stage, of ``base`` or of ``student``.
    """

    def locate(origin: str) -> str:
        if origin in ROOTS or origin in recipe.stages:
            return weights_of(origin)
        return resolve_model(origin).source

    return RewardModels(get_registry(), recipe.reward_models, locate)


def wrong_origins(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Yield each `from` of a reward model that can be nothing, and what is wrong with it."""
    for name, block in recipe.reward_models.items():
        origin, path = block.origin, ("reward_models", name, "from")
        if origin is None or origin in recipe.stages or origin == "base":
            continue
        if origin == "student":
            if recipe.student is None:
                yield path, "the recipe has no `student`; name its model, as with `model`"
            continue
        try:
            reference = resolve_model(origin)
        except ConfigError as exc:
            yield path, str(exc)
            continue
        if reference.kind == "hub" and (hint := did_you_mean(origin, recipe.stages)):
            yield path, f"no stage or folder '{origin}'.{hint}"


def unmade_stages(recipe: Recipe, name: str, earlier: set[str]) -> Iterator[tuple[KeyPath, str]]:
    """Yield each reward model of the stage `name` that a later stage, or itself, trains."""
    for model, block in used_models(recipe, name).items():
        if block.origin in recipe.stages and block.origin not in earlier:
            message = f"'{block.origin}' does not come before stage '{name}', whose rewards name it"
            yield ("reward_models", model, "from"), message


def missing_options(name: str) -> str | None:
    """Return what keeps a registered reward model from being named without an entry, if any."""
    try:
        config = get_registry().config(Kind.REWARD_MODEL, name)
    except PalestraError as exc:
        return str(exc)
    if config is None:
        return None
    try:
        config.model_validate({})
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        said = f"`{key}` {explain(first, config)}" if key else explain(first, config)
        return (
            f"reward model '{name}' cannot do without options: {said}. Give it an entry in "
            f"`reward_models`, as in {{mine: {{type: {name}, ...}}}}, and name that"
        )
    return None


def unusable_models(recipe: Recipe, stage_names: list[str]) -> Iterator[tuple[KeyPath, str]]:
    """Make the reward models that the stages use, and yield what keeps one from being made.

    One that a stage of the run trains cannot be made before.
    """
    models = make_reward_models(recipe, lambda origin: origin)
    for name in dict.fromkeys(n for stage in stage_names for n in _named(recipe, stage)):
        block = recipe.reward_models.get(name)
        origin = block.origin if block is not None else None
        if name not in models.names or origin in recipe.stages or origin in ROOTS:
            continue
        try:
            models.get(name)
        except PalestraError as exc:
            yield ("reward_models", name), str(exc)
