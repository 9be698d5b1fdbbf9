"""What is tried once before a run begins: every environment and reward that it names.

Validation reads declarations alone, so that it stays fast. A run has the time to make each
environment, draw tasks, see what its grader emits and whether it accepts its own references, and
compare the prompts of training with the questions of the evaluations. What is wrong is then an
error now and not hours later, and nothing has been written yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from palestra.envs.score import STEPS
from palestra.envs.together import step_alone
from palestra.errors import ConfigError, DataError, PalestraError, did_you_mean
from palestra.grading.isolation import open_env
from palestra.mixture.audit import Overlap, overlap
from palestra.mixture.config import SourceConfig
from palestra.mixture.draw import make_mixture
from palestra.plugins.registry import Kind, get_registry
from palestra.plugins.specs import EnvironmentSpec
from palestra.recipe.document import KeyPath
from palestra.recipe.graph import root_of
from palestra.recipe.reward_models import unusable_models
from palestra.stages.config import (
    DistillConfig,
    RejectionSamplingConfig,
    RewardModelConfig,
    RLConfig,
    SFTConfig,
)
from palestra.stages.examples import load_examples
from palestra.stages.preferences import load_preferences

if TYPE_CHECKING:
    from palestra.envs import Message
    from palestra.envs.env import TextEnv
    from palestra.recipe.config import Recipe

REFERENCES = 32
"""Tasks of each source whose reference is graded before a run."""

AUDITED = 5_000
"""Prompts of each stage that are compared with the evaluations: the first ones it draws."""


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
        models = {*get_registry().names(Kind.REWARD_MODEL), *recipe.reward_models}
        for name, message in _strays(config.rewards, components, models):
            problems.append(recipe.problem((*path, "rewards", name), message))
    problems += [recipe.problem(*found) for found in unusable_models(recipe, [*names])]
    problems += [recipe.problem(*found) for found in _unlike_tokenizers(recipe, names)]
    if problems:
        raise error("\n".join(dict.fromkeys(problems)))


def _unlike_tokenizers(recipe: Recipe, names: Sequence[str]) -> Iterator[tuple[KeyPath, str]]:
    """Yield the stages whose teacher's logits are of other tokens than the student's.

    A model that cannot be loaded is told of when it is.
    """
    sources = {"base": recipe.model_ref, "student": recipe.student_ref}
    for name in names:
        stage = recipe.stages[name]
        if not isinstance(stage, DistillConfig) or stage.logits is None:
            continue
        roots = [root_of(recipe, origin) for origin in (stage.init_from, stage.teacher)]
        if roots[0] == roots[1]:
            continue
        from transformers import AutoTokenizer

        from palestra.learner.distillation import shared_vocabulary

        try:
            own, other = (AutoTokenizer.from_pretrained(sources[r].source) for r in roots)  # pyright: ignore[reportOptionalMemberAccess]
        except (OSError, ValueError):
            continue
        try:
            shared_vocabulary(own, other, (stage.init_from, stage.teacher))
        except ConfigError as exc:
            yield ("stages", name, "teacher"), str(exc)


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
    env = open_env(get_registry(), config.env, config.kwargs)
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
    info = step_alone(env, "")[-1]
    has_steps = _grade_references(env, config, options)
    return {*info["reward_components"], *([STEPS] * has_steps)} if info["reward_valid"] else set()


def _grade_references(env: TextEnv, config: SourceConfig, options: dict[str, Any]) -> bool:
    """Refuse a grader that does not accept its own references: it would train a wrong model.

    Returns:
        Whether one of them earned process rewards, or there is none to tell.
    """
    spec = cast("EnvironmentSpec", get_registry().find(Kind.ENVIRONMENT, config.env).spec)
    if not spec.has_reference:
        return True
    has_steps = False
    count = env.count(config.split, config.language)
    step = 1 if count is None else max(1, count // REFERENCES)
    for number in range(REFERENCES if count is None else min(count, REFERENCES)):
        env.reset(options={**options, "index": number * step})
        assert env.task is not None
        task = env.task
        completion = env.reference_completion(task)
        if completion is None:
            continue
        _, reward, _, _, info = step_alone(env, completion)
        has_steps |= STEPS in info["reward_components"]
        if not info["reward_valid"] or reward < spec.reward_range[1] - 1e-9:
            raise DataError(
                f"{config.env} refuses its own reference: task {task.id}, reference "
                f"{task.reference!r}, earned {reward:g} of {spec.reward_range[1]:g} "
                f"({info['reason'] or info['reward_status']}). Mend the grader or the reference"
            )
    return has_steps


def _strays(
    rewards: Iterable[str], components: set[str], models: set[str]
) -> Iterator[tuple[str, str]]:
    """Yield each reward that nobody offers, or both sides do, and what is wrong with it."""
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


# -- the audit ------------------------------------------------------------------------------------


def audit(recipe: Recipe, names: Sequence[str]) -> list[Overlap]:
    """Compare what the stages `names` train on with what they are evaluated on.

    Prompts are the ones that the stages will draw (a curriculum may move their difficulty later);
    questions are the evaluations' own.

    Returns:
        One entry for each evaluation set, by its label.

    Raises:
        DataError: a question of an evaluation is a training prompt, word for word.
    """
    training = list(dict.fromkeys(_training_prompts(recipe, names)))
    found: list[Overlap] = []
    for path, label, questions in _evaluation_sets(recipe, names) if training else ():
        result = overlap(label, questions, training, recipe.audit_ngram)
        if result.identical:
            what = (
                f"{result.identical} of its {result.questions} questions are training prompts, as "
                f"{result.example!r}. Evaluate on another split, or train on another"
            )
            raise DataError(recipe.problem(path, what))
        found.append(result)
    return found


def _training_prompts(recipe: Recipe, names: Sequence[str]) -> Iterator[str]:
    from palestra.evaluation.evaluate import prompt_of

    registry = get_registry()
    for name in names:
        stage = recipe.stages[name]
        if isinstance(stage, SFTConfig | RewardModelConfig):
            for messages in _conversations(stage, recipe.seed, f"stages.{name}"):
                yield "\n".join(m["content"] for m in messages if m["role"] != "system")
            continue
        if isinstance(stage, RLConfig):
            count = stage.steps * stage.prompts_per_step
        elif isinstance(stage, RejectionSamplingConfig):
            count = stage.prompts
        else:
            continue
        where = f"mixtures.{stage.mixture}"
        config = recipe.mixtures[stage.mixture]
        mixture = make_mixture(config, registry, where, recipe.seed, name)
        step = stage.prompts_per_step if isinstance(stage, RLConfig) else count
        for _ in range(min(count, AUDITED) // step or 1):
            for draw in mixture.draw(step):
                yield prompt_of(mixture.sources[draw.source], draw)


def _conversations(
    stage: SFTConfig | RewardModelConfig, seed: int, where: str
) -> Iterator[Sequence[Message]]:
    """Yield what a supervised stage's files and environments ask, every one of them.

    What an earlier stage makes is drawn from that stage's mixture, and audited there.
    """
    if isinstance(stage, RewardModelConfig):
        is_pairwise = stage.objective == "pairwise"
        yield from (p.messages for p in load_preferences(stage.data, is_pairwise, seed, where))
        return
    own = [item for item in stage.data if item.from_stage is None]
    yield from (e.messages for e in load_examples(own, {}, get_registry(), seed, where))


def _evaluation_sets(
    recipe: Recipe, names: Sequence[str]
) -> Iterator[tuple[KeyPath, str, list[str]]]:
    from palestra.evaluation.evaluate import asked

    seen: set[str] = set()
    for name in names:
        config = recipe.stages[name].eval
        if config is None:
            continue
        at: KeyPath = ("eval",) if config is recipe.eval else ("stages", name, "eval")
        for i, env in enumerate(config.envs):
            key = f"{env.model_dump_json()} {config.questions} {config.seed}"
            if key not in seen:
                seen.add(key)
                yield (*at, "envs", i), env.env, asked(env, config, get_registry())
