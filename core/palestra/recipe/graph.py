"""The graph of a recipe's stages: what must fit together, what to run, and what has changed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from palestra.errors import ConfigError, NotFound, PalestraError, did_you_mean
from palestra.evaluation.config import EvalConfig, EvalEnv
from palestra.mixture.config import SourceConfig
from palestra.plugins.registry import Kind, get_registry
from palestra.recipe.config import Recipe
from palestra.recipe.document import KeyPath
from palestra.recipe.fit import unfit
from palestra.recipe.reward_models import (
    ROOTS,
    missing_options,
    model_facts,
    origin_stages,
    unmade_stages,
    wrong_origins,
)
from palestra.stages.config import (
    PROMPTS,
    RejectionSamplingConfig,
    RewardModelConfig,
    RLConfig,
    SFTConfig,
    StageConfig,
)
from palestra.stages.data_config import DataConfig
from palestra.stages.trackers import missing_package

KNOWN_COMPONENTS = ("accuracy", "lenient_accuracy", "format")
_STAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# What a stage is called, and how often it is saved, does not change what it computes.
_NOT_HASHED = {"role", "variant", "save_steps", "keep_last"}


def validate_graph(recipe: Recipe) -> None:
    """Check that the recipe's parts fit together.

    Names of stages, mixtures, environments and rewards; splits; held-out data that is trained on;
    files and model folders. Loads no model, makes no environment.

    A reward's name that is neither a reward model nor a usual component (`KNOWN_COMPONENTS`) may
    still be a component that only the environment knows of: it is an error here if it looks like
    a slip of a known one, and else left to the run. ``env.NAME`` is always left to the run.

    Raises:
        ConfigError: one line for each mistake, with file and line.
    """
    check = _Check(recipe)
    check.models()
    check.trackers()
    check.models_of_rewards()
    check.mixtures()
    check.training_data()
    if recipe.eval is not None:
        check.evaluation(("eval",), recipe.eval)
    for name, stage in recipe.stages.items():
        check.stage(name, stage)
    if check.problems:
        raise ConfigError("\n".join(dict.fromkeys(check.problems)))


class _Check:
    """Collects problems."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.problems: list[str] = []
        self.earlier: dict[str, StageConfig] = {}
        self.reward_models = {*get_registry().names(Kind.REWARD_MODEL), *recipe.reward_models}
        self.trained: dict[tuple[str, str, str], str] = {}

    def report(self, path: KeyPath, message: str) -> None:
        self.problems.append(self.recipe.problem(path, message))

    def models(self) -> None:
        for key in ("model", "student"):
            try:
                _ = self.recipe.model_ref if key == "model" else self.recipe.student_ref
            except ConfigError as exc:
                self.report((key,), str(exc))

    def trackers(self) -> None:
        for i, tracker in enumerate(self.recipe.engine.trackers):
            if (line := missing_package(tracker)) is not None:
                path: KeyPath = ("engine", "trackers", i)
                self.report(path, f"the package of tracker '{tracker}' is missing. Run: {line}")

    def models_of_rewards(self) -> None:
        for path, message in wrong_origins(self.recipe):
            self.report(path, message)

    def mixtures(self) -> None:
        for name, mixture in self.recipe.mixtures.items():
            for index, source in enumerate(mixture.sources):
                path: KeyPath = ("mixtures", name, "sources", index)
                self.environment(path, source)
                self.rewards((*path, "rewards"), source.rewards)
                self.trained.setdefault(_drawn_from(source), f"mixture '{name}'")

    def training_data(self) -> None:
        """Note what supervised stages train on, whatever their place in the file."""
        for name, stage in self.recipe.stages.items():
            for item in stage.data if isinstance(stage, SFTConfig) else ():
                if item.env is not None:
                    source = EvalEnv(env=item.env, kwargs=item.kwargs, split=item.split)
                    self.trained.setdefault(_drawn_from(source), f"stage '{name}'")

    def stage(self, name: str, stage: StageConfig) -> None:
        path: KeyPath = ("stages", name)
        if name in ROOTS:
            self.report(path, f"'{name}' is reserved for `init_from`; call the stage otherwise")
        elif not _STAGE_NAME.fullmatch(name):
            message = "a stage's name is a folder's too: letters, digits, - and _, at most 64"
            self.report(path, message)
        self.init_from((*path, "init_from"), stage)
        mixture = getattr(stage, "mixture", None)
        if isinstance(mixture, str) and mixture not in self.recipe.mixtures:
            self.report((*path, "mixture"), _no("mixture", mixture, self.recipe.mixtures))
        elif isinstance(mixture, str):
            for where, message in unfit(self.recipe, name, mixture):
                self.report(where, message)
        for where, message in unmade_stages(self.recipe, name, {*self.earlier}):
            self.report(where, message)
        if stage.prompt not in PROMPTS and not Path(stage.prompt).is_file():
            self.report((*path, "prompt"), f"no template at {stage.prompt}")
        if isinstance(stage, RLConfig) and stage.watch is not None:
            self.gold((*path, "watch", "gold"), stage, stage.watch.gold)
        if isinstance(stage, RejectionSamplingConfig):
            self.rewards((*path, "require"), stage.require)
            for judge in stage.filters.judges:
                if judge not in self.reward_models:
                    where = (*path, "filters", "judges", judge)
                    self.report(where, _no("reward model", judge, self.reward_models))
            if stage.filters.decontaminate and not any(s.eval for s in self.recipe.stages.values()):
                message = "the recipe evaluates nothing: there is no question to keep out"
                self.report((*path, "filters", "decontaminate"), message)
        if isinstance(stage, SFTConfig):
            for index, item in enumerate(stage.data):
                self.data((*path, "data", index), item)
            teacher = getattr(stage, "teacher", None)
            if isinstance(teacher, str) and teacher not in (*self.earlier, *ROOTS):
                self.report((*path, "teacher"), self.no_stage(teacher, ROOTS))
            elif teacher is not None and not self.writes(str(teacher)):
                message = f"'{teacher}' trains a reward model, which writes nothing"
                self.report((*path, "teacher"), message)
        if isinstance(stage, RewardModelConfig):
            for index, item in enumerate(stage.data):
                if not Path(item.file).is_file():
                    self.report((*path, "data", index, "file"), f"no file at {item.file}")
        if stage.eval is None:
            if stage.type == "evaluate":
                self.report(path, "has nothing to evaluate: neither it nor the recipe has `eval`")
        elif stage.eval is not self.recipe.eval:
            self.evaluation((*path, "eval"), stage.eval)
        self.earlier[name] = stage

    def init_from(self, path: KeyPath, stage: StageConfig) -> None:
        origin = stage.init_from
        if origin == "student" and self.recipe.student is None:
            self.report(path, "the recipe has no `student`; name its model, as with `model`")
        elif origin not in (*ROOTS, *self.earlier):
            self.report(path, self.no_stage(origin, ROOTS))
        elif stage.yields_policy and not self.writes(origin):
            message = f"'{origin}' trains a reward model, which writes nothing. Name it in "
            self.report(path, f"{message}`reward_models`: {{type: neural, from: {origin}}}")

    def writes(self, origin: str) -> bool:
        """Whether the weights of `origin` are a policy's; those of a reward model write nothing."""
        return getattr(self.earlier.get(origin), "yields_policy", True)

    def no_stage(self, name: str, also: Iterable[str] = ()) -> str:
        if name in self.recipe.stages:
            return f"'{name}' does not come before this stage"
        return _no("stage", name, (*also, *self.earlier))

    def data(self, path: KeyPath, item: DataConfig) -> None:
        if item.from_stage is not None:
            makers = [n for n, s in self.earlier.items() if isinstance(s, RejectionSamplingConfig)]
            if item.from_stage not in self.earlier:
                message = self.no_stage(item.from_stage)
                self.report((*path, "from"), message)
            elif item.from_stage not in makers and (
                self.earlier[item.from_stage].type in ("rl", "sft", "distill", "evaluate")
            ):
                message = f"'{item.from_stage}' makes no data; rejection_sampling stages do: "
                self.report((*path, "from"), message + (", ".join(makers) or "there is none"))
        if item.file is not None and not Path(item.file).is_file():
            self.report((*path, "file"), f"no file at {item.file}")
        if item.env is not None:
            source = EvalEnv(
                env=item.env,
                kwargs=item.kwargs,
                split=item.split,
                difficulty=item.difficulty,
                language=item.language,
            )
            self.environment(path, source)

    def environment(self, path: KeyPath, source: SourceConfig | EvalEnv) -> None:
        """Check id, arguments, split, and (where the spec says) difficulty and language."""
        registry = get_registry()
        try:
            spec: Any = registry.find(Kind.ENVIRONMENT, source.env).spec
            config = registry.config(Kind.ENVIRONMENT, source.env)
        except PalestraError as exc:
            self.report((*path, "env"), str(exc))
            return
        if source.split not in spec.splits:
            message = f"{source.env} has no {source.split} split, only {', '.join(spec.splits)}"
            self.report((*path, "split"), message)
        if config is not None:
            try:
                config.model_validate({**spec.kwargs, **source.kwargs})
            except ValueError as exc:
                self.report((*path, "kwargs"), f"{source.env}: {exc}")
        levels = getattr(spec, "difficulties", None)
        if levels is not None and source.difficulty is not None:
            wanted = source.difficulty
            low, high = (wanted, wanted) if isinstance(wanted, int) else wanted
            if low < levels[0] or high > levels[1]:
                message = f"{source.env} has levels {levels[0]} to {levels[1]}, not {low} to {high}"
                self.report((*path, "difficulty"), message)
        languages = getattr(spec, "languages", None)
        if languages and source.language is not None and source.language not in languages:
            message = f"{source.env} has no '{source.language}', only {', '.join(languages)}"
            self.report((*path, "language"), message)

    def rewards(self, path: KeyPath, rewards: Iterable[str]) -> None:
        known = (*KNOWN_COMPONENTS, *sorted(self.reward_models))
        for name in rewards:
            origin, dot, rest = name.partition(".")
            if origin == "env" and dot:
                continue
            bare = name.removeprefix("model.")
            if bare in self.reward_models and bare not in self.recipe.reward_models:
                if (message := missing_options(bare)) is not None:
                    self.report((*path, name), message)
                continue
            if origin == "model" and dot:
                if rest not in self.reward_models:
                    self.report((*path, name), _no("reward model", rest, self.reward_models))
            elif name not in known and (hint := did_you_mean(name, known)):
                escape = f"Where an environment does emit '{name}', write 'env.{name}'."
                self.report((*path, name), f"no reward '{name}'.{hint} {escape}")

    def gold(self, path: KeyPath, stage: RLConfig, gold: str) -> None:
        """Refuse a gold reward that nobody offers, or that trains as well."""
        self.rewards(path[:-1], [gold])
        mixture = self.recipe.mixtures.get(stage.mixture)
        bare = gold.rpartition(".")[2]
        for source in mixture.sources if mixture is not None else ():
            if bare in {name.rpartition(".")[2] for name in source.rewards}:
                message = f"'{gold}' trains already: {source.env} is paid by it. Hold out another"
                self.report(path, message)

    def evaluation(self, path: KeyPath, config: EvalConfig) -> None:
        """Check an evaluation's environments, and that none of them is trained on."""
        shared = self.recipe.eval.envs if self.recipe.eval is not None else []
        for index, env in enumerate(config.envs):
            if config is not self.recipe.eval and env in shared:
                continue  # said once, where the recipe's `eval` has it
            here: KeyPath = (*path, "envs", index)
            self.environment(here, env)
            if (trainer := self.trained.get(_drawn_from(env))) is not None:
                message = f"{env.env} {env.split} is what {trainer} trains on"
                self.report(here, f"{message}; evaluate another split")


def _drawn_from(source: SourceConfig | EvalEnv) -> tuple[str, str, str]:
    """Return what makes two sources share tasks: environment, its arguments, and split."""
    env = source.env.rpartition(":")[2]  # DIST:name is another word for the same
    return env, json.dumps(source.kwargs, sort_keys=True, default=str), source.split


def _no(kind: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    return f"no {kind} '{name}'.{did_you_mean(name, names)} There is: {', '.join(names) or 'none'}"


def weights_of(recipe: Recipe, origin: str) -> str:
    """Return whose weights `origin` stands for: ``base``, ``student``, or a stage that trains.

    Stages that do not train (evaluation, rejection sampling) pass on what they were given.
    """
    while origin not in ROOTS and not recipe.stages[origin].yields_weights:
        origin = recipe.stages[origin].init_from
    return origin


def root_of(recipe: Recipe, origin: str) -> str:
    """Return the model, ``base`` or ``student``, that the weights of `origin` go back to."""
    while origin not in ROOTS:
        origin = recipe.stages[origin].init_from
    return origin


def _inputs(recipe: Recipe, name: str) -> tuple[str, ...]:
    return (*recipe.stages[name].inputs, *origin_stages(recipe, name))


def ancestors(recipe: Recipe, name: str) -> set[str]:
    """Return the stages that `name` needs: for its weights, its data, or its reward models."""
    needed: set[str] = set()
    waiting = [name]
    while waiting:
        for parent in _inputs(recipe, waiting.pop()):
            if parent not in ROOTS and parent not in needed:
                needed.add(parent)
                waiting.append(parent)
    return needed


def select(recipe: Recipe, only: str | None = None, until: str | None = None) -> list[str]:
    """Return the names of the stages to run, in the order of the file.

    Args:
        recipe: the recipe.
        only: run this stage, and before it what it needs.
        until: run the stages up to this one.

    Raises:
        NotFound: no such stage.
        ConfigError: `only` does not come within `until`.
    """
    names = list(recipe.stages)
    for option, name in (("--only", only), ("--until", until)):
        if name is not None and name not in names:
            raise NotFound(f"{option} {name}: {_no('stage', name, names)}")
    if until is not None:
        names = names[: names.index(until) + 1]
    if only is None:
        return names
    if only not in names:
        raise ConfigError(f"--only {only} comes after --until {until}")
    needed = ancestors(recipe, only) | {only}
    return [name for name in names if name in needed]


def stage_hash(recipe: Recipe, stage_name: str) -> str:
    """Return the SHA-256 of all that decides what a stage computes.

    Its config, its inputs' hashes, the mixture, the reward models, the model, the seed, the engine,
    and the contents of templates, data files and local plugins. A finished stage is skipped while
    this is the same.
    """
    return _hash(recipe, stage_name, {})


def _hash(recipe: Recipe, name: str, known: dict[str, str]) -> str:
    if name in known:
        return known[name]
    stage = recipe.stages[name]
    inputs: dict[str, str] = {}
    for parent in _inputs(recipe, name):
        if parent == "base":
            inputs[parent] = recipe.model_ref.identity()
        elif parent == "student" and (student := recipe.student_ref) is not None:
            inputs[parent] = student.identity()
        else:
            inputs[parent] = _hash(recipe, parent, known)
    mixture = getattr(stage, "mixture", None)
    files = [*recipe.plugins, stage.prompt if stage.prompt not in PROMPTS else ""]
    for item in stage.data if isinstance(stage, SFTConfig | RewardModelConfig) else ():
        files.append(item.file or "")
    facts = {
        "name": name,
        "seed": recipe.seed,
        "engine": recipe.engine.model_dump(mode="json", exclude={"trackers"}),
        "stage": _with_contents(stage.model_dump(mode="json", by_alias=True, exclude=_NOT_HASHED)),
        "inputs": inputs,
        "mixture": _with_contents(recipe.mixtures[mixture].model_dump(mode="json"))
        if mixture
        else None,
        "files": [_file_hash(Path(file)) for file in files if file],
    }
    facts["stage"] = _without_paths(facts["stage"])
    if models := model_facts(recipe, name):
        facts["reward_models"] = models
    text = json.dumps(facts, sort_keys=True, ensure_ascii=True)
    known[name] = hashlib.sha256(text.encode()).hexdigest()
    return known[name]


def _without_paths(stage: Any) -> Any:
    """Drop file names, whose contents are hashed: a moved folder holds the same run."""
    values = dict(cast("dict[str, Any]", stage))
    if values["prompt"] not in PROMPTS:
        values["prompt"] = "template"
    if isinstance(values.get("data"), list):
        values["data"] = [{**item, "file": bool(item.get("file"))} for item in values["data"]]
    return values


def _with_contents(value: Any) -> Any:
    """Put the hash of a file in the place of its name, in the `kwargs` of every environment.

    `load_recipe` has made the names of files that are there absolute; all else is no file.
    """
    if isinstance(value, list):
        return [_with_contents(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    return {
        key: {k: _content(v) for k, v in inner.items()}
        if key == "kwargs" and isinstance(inner, dict)
        else _with_contents(inner)
        for key, inner in cast("dict[str, Any]", value).items()
    }


def _content(value: Any) -> Any:
    if not isinstance(value, str) or not Path(value).is_absolute() or not Path(value).is_file():
        return value
    return f"sha256:{_file_hash(Path(value))}"


def _file_hash(path: Path) -> str:
    stat = path.stat()
    return _hash_of_content(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _hash_of_content(path: Path, changed: int, size: int) -> str:
    """Hash a file once, though many stages name it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
