"""What is tried once before a run begins: every environment and reward that it names.

Validation reads declarations alone, so that it stays fast. A run has the time to make each
environment, draw a task and see what its grader emits: a data file that is missing, or a reward
that nobody offers, is then an error now and not hours later, and nothing has been written yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from palestra.errors import ConfigError, DataError, PalestraError, did_you_mean
from palestra.mixture.config import SourceConfig
from palestra.plugins.registry import Kind, get_registry
from palestra.recipe.document import KeyPath
from palestra.stages.config import SFTConfig

if TYPE_CHECKING:
    from palestra.envs.env import TextEnv
    from palestra.recipe.config import Recipe


def try_sources(recipe: Recipe, names: Sequence[str]) -> None:
    """Make each environment of the stages `names` once, and look for the rewards it is to earn.

    Raises:
        ConfigError: the recipe is wrong; one line for each mistake, with file and line.
        DataError: something that the recipe names is: a row of a data set, an environment.
    """
    problems: list[str] = []
    error: type[PalestraError] = ConfigError
    tried: set[str] = set()
    for path, config in _sources(recipe, names):
        if (key := config.model_dump_json()) in tried:
            continue
        tried.add(key)
        try:
            components = _try(config, must_show="data" in path)
        except PalestraError as exc:
            problems.append(recipe.problem(path, str(exc)))
            error = error if isinstance(exc, ConfigError) else DataError
            continue
        for name, message in _strays(config.rewards, components):
            problems.append(recipe.problem((*path, "rewards", name), message))
    if problems:
        raise error("\n".join(dict.fromkeys(problems)))


def _sources(recipe: Recipe, names: Sequence[str]) -> Iterator[tuple[KeyPath, SourceConfig]]:
    """Yield the sources that the stages draw from, and where the recipe has them."""
    for name in names:
        stage = recipe.stages[name]
        mixture = str(getattr(stage, "mixture", ""))
        for i, source in enumerate(recipe.mixtures[mixture].sources if mixture else ()):
            yield ("mixtures", mixture, "sources", i), source
        for i, item in enumerate(stage.data if isinstance(stage, SFTConfig) else ()):
            if item.env is not None:
                fields = {"env", "kwargs", "split", "difficulty", "language"}
                made = SourceConfig.model_validate(item.model_dump(include=fields))
                yield ("stages", name, "data", i), made
        if stage.eval is not None:
            at: KeyPath = ("eval",) if stage.eval is recipe.eval else ("stages", name, "eval")
            for i, env in enumerate(stage.eval.envs):
                yield (*at, "envs", i), SourceConfig.model_validate(env.model_dump())


def _try(config: SourceConfig, must_show: bool) -> set[str]:
    """Return the components that the environment emits; nothing where one turn does not tell."""
    env: TextEnv = get_registry().make_env(config.env, **config.kwargs)
    options: dict[str, Any] = {"split": config.split}
    for name in ("difficulty", "language"):
        if (value := getattr(config, name)) is not None:
            options[name] = value
    env.reset(seed=0, options=options)
    assert env.task is not None
    if must_show and env.reference_completion(env.task) is None:
        raise ConfigError(f"{config.env} has no reference completions to train on")
    if env.max_turns != 1:
        return set()
    info = env.step("")[-1]
    return set(info["reward_components"]) if info["reward_valid"] else set()


def _strays(rewards: Iterable[str], components: set[str]) -> Iterator[tuple[str, str]]:
    """Yield each reward that nobody offers, or both sides do, and what is wrong with it."""
    models = set(get_registry().names(Kind.REWARD_MODEL))
    for name in rewards if components else ():
        bare = name.removeprefix("env.")
        if name in models and name in components:
            yield (
                name,
                f"both the environment and a reward model offer '{name}'. "
                + (f"Write 'env.{name}' or 'model.{name}'"),
            )
        elif name not in models and not name.startswith("model.") and bare not in components:
            yield (
                name,
                f"no reward '{name}'.{did_you_mean(bare, components | models)} "
                + (
                    f"The environment emits: {', '.join(sorted(components))}; "
                    f"reward models: {', '.join(sorted(models))}"
                ),
            )
