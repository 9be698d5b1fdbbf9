"""`Recipe`, and `load_recipe`, which reads one and says every mistake with its file and line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import yaml
from pydantic import BaseModel, Field, PrivateAttr, SerializeAsAny, ValidationError

from palestra.config import ConfigModel
from palestra.errors import ConfigError, NotFound, PalestraError, did_you_mean
from palestra.evaluation.config import EvalConfig
from palestra.mixture.config import MixtureConfig
from palestra.plugins.registry import Kind, get_registry
from palestra.recipe.document import (
    Document,
    KeyPath,
    parse_document,
    parse_value,
    read_text,
    yaml_dumper,
)
from palestra.recipe.engine import EngineConfig
from palestra.recipe.explain import explain
from palestra.recipe.layers import Layers
from palestra.recipe.models import ModelRef, resolve_model
from palestra.recipe.nesting import flatten_mixtures
from palestra.rewards.config import RewardModelBlock
from palestra.stages.config import BUILTIN_STAGES, StageConfig

M = TypeVar("M", bound=BaseModel)


class Recipe(ConfigModel):
    """A graph of stages, as `load_recipe` made it: every default filled in, every path absolute."""

    name: str = Field(min_length=1)
    """Name of the recipe; its file's name where absent."""

    description: str = ""
    """One line for `palestra recipes ls`."""

    model: str
    """The base model: ``tiny``, a folder, or a hub id."""

    student: str | None = None
    """The model to distil into, named as `model` is."""

    seed: int = Field(default=0, ge=0)
    """Seed of everything that is drawn."""

    plugins: list[str] = Field(default_factory=list[str])
    """Local plugin files, relative to the recipe."""

    engine: EngineConfig = Field(default_factory=EngineConfig)
    """How the run uses the machine."""

    mixtures: dict[str, MixtureConfig] = Field(default_factory=dict[str, MixtureConfig])
    """Named mixtures of environments."""

    reward_models: dict[str, RewardModelBlock] = Field(default_factory=dict[str, RewardModelBlock])
    """Reward models with options, by the name that `rewards` call them. One that takes none needs
    no entry."""

    audit_ngram: int = Field(default=13, ge=3)
    """Words in a row that an evaluation question and a training prompt may not share unreported."""

    eval: EvalConfig | None = None
    """What a stage's `eval` takes for keys that it does not have."""

    stages: Annotated[dict[str, SerializeAsAny[StageConfig]], Field(min_length=1)]
    """The stages, in the order in which they run."""

    _document: Document | None = PrivateAttr(default=None)
    _model_defaults: list[tuple[str, object]] = PrivateAttr(
        default_factory=list[tuple[str, object]]
    )

    def problem(self, path: KeyPath, message: str) -> str:
        """Return one line: where `path` was written (``recipe.yaml:14``), and what is wrong."""
        document = self._document if self._document is not None else Document({}, self.name)
        return document.problem(path, message)

    @property
    def model_defaults(self) -> list[tuple[str, object]]:
        """What `when_model` set: dotted path and value of each."""
        return list(self._model_defaults)

    @property
    def model_ref(self) -> ModelRef:
        """The base model, resolved."""
        return resolve_model(self.model)

    @property
    def student_ref(self) -> ModelRef | None:
        """The student, resolved, if the recipe has one."""
        return resolve_model(self.student) if self.student is not None else None

    def as_dict(self) -> dict[str, Any]:
        """Return the resolved recipe as plain data, as `load_recipe` would read it again."""
        return self.model_dump(mode="json", by_alias=True)

    def to_yaml(self) -> str:
        """Return the resolved recipe as YAML: loading it gives the same recipe."""
        return yaml.dump(
            self.as_dict(), Dumper=yaml_dumper(), sort_keys=False, allow_unicode=True, width=100
        )


def load_recipe(
    name_or_path: str | os.PathLike[str], overrides: Sequence[str] = (), seed: int | None = None
) -> Recipe:
    """Read a recipe and check all that can be checked without loading a model.

    Args:
        name_or_path: the name of a shipped recipe, or a YAML file.
        overrides: ``a.b.c=VALUE``, the value in YAML; lists by index, ``data.0.limit=5``.
        seed: the recipe's seed instead of its own.

    Raises:
        NotFound: no such recipe.
        ConfigError: the recipe is wrong; one line for each mistake, with file and line.
    """
    path, label = _find(name_or_path)
    changes = [_parse_override(text) for text in overrides]
    if seed is not None:
        changes.append((("seed",), seed, f"--seed {seed}"))
    model = next((value for key, value, _ in reversed(changes) if key == ("model",)), None)
    layers = Layers(_shipped_file, model)
    document = layers.read(path, label)
    problems = list(layers.problems)
    for key, value, origin in changes:
        if key[0] in ("when_model", "extends"):
            problems.append(f"{origin}: set the keys themselves, not their defaults")
            continue
        try:
            document.put(key, value, origin)
        except ConfigError as exc:
            problems.append(f"{origin}: {exc}")
    flatten_mixtures(document)
    _resolve_paths(document)
    recipe = _build(document, path.stem, problems)
    if recipe is None or problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    recipe._document = document  # pyright: ignore[reportPrivateUsage]
    recipe._model_defaults = list(layers.defaults.items())  # pyright: ignore[reportPrivateUsage]

    from palestra.recipe.graph import validate_graph  # graph is about Recipes, so it imports us

    validate_graph(recipe)
    return recipe


def shipped_recipes() -> list[tuple[str, str]]:
    """Return name and description of every recipe in the package."""
    found: list[tuple[str, str]] = []
    for file in sorted(_shipped().glob("*.yaml")):
        document = parse_document(read_text(file, file.name), file.name)
        found.append((file.stem, str(document.data.get("description", ""))))
    return found


def recipe_text(name_or_path: str | os.PathLike[str]) -> str:
    """Return a recipe's YAML as it was written, comments and all."""
    path, label = _find(name_or_path)
    return read_text(path, label)


def _shipped() -> Path:
    return Path(str(resources.files("palestra.recipe"))) / "shipped"


def _shipped_file(name: str) -> Path | None:
    file = _shipped() / f"{name}.yaml"
    return file if file.is_file() else None


def _find(name_or_path: str | os.PathLike[str]) -> tuple[Path, str]:
    text = os.fspath(name_or_path)
    is_name = os.sep not in text and not text.endswith((".yaml", ".yml"))
    if is_name and (shipped := _shipped_file(text)) is not None:
        return shipped, shipped.name
    path = Path(text).expanduser()
    if path.is_dir():
        raise ConfigError(f"'{text}' is a folder; a recipe is a YAML file")
    if path.is_file() or path.exists():
        return path, text
    names = [file.stem for file in sorted(_shipped().glob("*.yaml"))]
    listed = f"Shipped: {', '.join(names) or 'none'}. See: palestra recipes ls"
    what = f"no recipe '{text}'" if is_name else f"no recipe file '{text}'"
    raise NotFound(f"{what}.{did_you_mean(Path(text).stem, names)} {listed}")


Change = tuple[KeyPath, object, str]


def _parse_override(text: str) -> Change:
    key, equals, value = text.partition("=")
    origin = f"--set {text}"
    if not equals or not key or not all(part.strip() for part in key.split(".")):
        raise ConfigError(f"{origin}: should be KEY=VALUE, as in stages.zero.steps=50")
    return tuple(part.strip() for part in key.split(".")), parse_value(value, origin), origin


def _resolve_paths(document: Document) -> None:
    """Make paths absolute: from the folder of their file, or from here where ``--set`` named them.

    In the `kwargs` of an environment only names of files that are there are taken for paths.
    """

    def resolved(path: KeyPath, value: str) -> str:
        return str((document.folder(path) / Path(value).expanduser()).resolve())

    def each(holder: Any, key: Any, path: KeyPath, when: Callable[[str], bool]) -> None:
        items: Any = holder
        value = items[key] if isinstance(items, list) else items.get(key)
        if isinstance(value, str) and when(value):
            items[key] = resolved((*path, key), value)

    data = document.data
    for key in ("model", "student"):
        each(data, key, (), lambda v, k=key: v.startswith(".") or Path(resolved((k,), v)).is_dir())
    for path, index, _ in _items(data, ("plugins",)):
        each(data["plugins"], index, path, bool)
    for name, stage in _mappings(data.get("stages")):
        each(stage, "prompt", ("stages", name), lambda v: v.endswith(".jinja"))
        for path, index, item in _items(data, ("stages", name, "data")):
            if isinstance(item, dict):
                each(item, "file", (*path, index), bool)
    no_folder = {"", *(name for name, _ in _mappings(data.get("stages")))}
    for name, block in _mappings(data.get("reward_models")):
        where = ("reward_models", name, "from")
        if block.get("from") not in no_folder:
            each(block, "from", where[:-1], lambda v, w=where: Path(resolved(w, v)).is_dir())
    for path, kwargs in _kwargs(data):
        for key in kwargs:
            where = (*path, key)
            each(kwargs, key, path, lambda v, w=where: _is_file_name(v, resolved(w, v)))


def _is_file_name(text: str, path: str) -> bool:
    """Whether `text` looks like a file's name, and there is such a file."""
    return bool(Path(text).suffix or os.sep in text) and Path(path).is_file()


def _items(data: Any, path: KeyPath) -> list[tuple[KeyPath, int, Any]]:
    """Return path, index and value of each item of the list at `path`, if there is one."""
    here: Any = data
    for key in path:
        here = here.get(key) if isinstance(here, dict) else None
    items = cast("list[Any]", here) if isinstance(here, list) else []
    return [(path, index, item) for index, item in enumerate(items)]


def _kwargs(data: dict[str, Any]) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """Yield the `kwargs` of every environment that a recipe names."""
    lists: list[KeyPath] = [("eval", "envs")]
    lists += [("mixtures", name, "sources") for name, _ in _mappings(data.get("mixtures"))]
    for name, _ in _mappings(data.get("stages")):
        lists += [("stages", name, "data"), ("stages", name, "eval", "envs")]
    for where in lists:
        for path, index, item in _items(data, where):
            if isinstance(item, dict) and isinstance(item.get("kwargs"), dict):
                yield (*path, index, "kwargs"), cast("dict[str, Any]", item["kwargs"])


def _mappings(value: object) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        for name, inner in cast("dict[str, Any]", value).items():
            if isinstance(inner, dict):
                yield name, cast("dict[str, Any]", inner)


def _build(document: Document, stem: str, problems: list[str]) -> Recipe | None:
    """Validate the document's data; what is wrong goes to `problems`."""
    data = {"name": stem, **document.data}
    _add_local_plugins(document, problems)
    _resolve_sampler(document, data, problems)
    _resolve_curricula(document, data, problems)
    _resolve_reward_models(document, data, problems)
    raw_stages = data.get("stages")
    stages: dict[str, StageConfig] = {}
    if isinstance(raw_stages, dict):
        for name, raw in cast("dict[str, Any]", raw_stages).items():
            stage = _build_stage(document, str(name), raw, problems)
            if stage is not None:
                stages[str(name)] = stage
        data["stages"] = stages if stages or not raw_stages else _placeholder()
    recipe = _validate(Recipe, data, (), document, problems)
    if recipe is None:
        return None
    for name, stage in recipe.stages.items():
        has_own = "eval" in stage.model_fields_set or not stage.inherits_eval
        if recipe.eval is not None and not has_own:
            recipe.stages[name] = stage.model_copy(update={"eval": recipe.eval})
            document.origins[("stages", name, "eval")] = document.where(("eval",))
    return recipe


def _placeholder() -> dict[str, StageConfig]:
    """Return stages that let the rest of a recipe be checked when every stage is wrong."""
    return {"base": BUILTIN_STAGES["evaluate"](type="evaluate", init_from="base")}


def _add_local_plugins(document: Document, problems: list[str]) -> None:
    plugins = document.data.get("plugins")
    if not isinstance(plugins, list):
        return
    for index, plugin in enumerate(cast("list[Any]", plugins)):
        if not isinstance(plugin, str):
            continue
        try:
            if not Path(plugin).is_file():
                raise ConfigError(f"no plugin file at {plugin}")
            get_registry().add_local(Path(plugin))
        except PalestraError as exc:
            problems.append(document.problem(("plugins", index), str(exc)))


def _build_stage(
    document: Document, name: str, raw: Any, problems: list[str]
) -> StageConfig | None:
    path: KeyPath = ("stages", name)
    if not isinstance(raw, dict):
        problems.append(document.problem(path, "should be a mapping"))
        return None
    values = dict(cast("dict[str, Any]", raw))
    config = _stage_class(document, path, values.get("type"), problems)
    if config is None:
        return None
    shared, own = document.data.get("eval"), values.get("eval")
    if isinstance(shared, dict) and isinstance(own, dict):
        for key in cast("dict[str, Any]", shared):
            if key not in own:
                document.origins[(*path, "eval", key)] = document.where(("eval", key))
        values["eval"] = {**cast("dict[str, Any]", shared), **cast("dict[str, Any]", own)}
    if "optimizer" in config.model_fields:
        block: Any = values.get("optimizer", {})
        if isinstance(block, dict):
            block = {"type": "grpo", **cast("dict[str, Any]", block)}
        values["optimizer"], plugin_config = _resolve_block(
            document, (*path, "optimizer"), block, Kind.POLICY_OPTIMIZER, problems
        )
        _check_group_size(document, path, values, plugin_config, problems)
    return _validate(config, values, path, document, problems)


def _check_group_size(
    document: Document,
    path: KeyPath,
    values: dict[str, Any],
    plugin_config: type[BaseModel] | None,
    problems: list[str],
) -> None:
    smallest = getattr(plugin_config, "min_group_size", 1)
    size = values.get("group_size")
    if isinstance(size, int) and isinstance(smallest, int) and 1 <= size < smallest:
        message = (
            f"should be at least {smallest} with {values['optimizer']['type']}, not {size}: "
            "its advantages compare the members of a group"
        )
        problems.append(document.problem((*path, "group_size"), message))


def _stage_class(
    document: Document, path: KeyPath, kind: Any, problems: list[str]
) -> type[StageConfig] | None:
    if not isinstance(kind, str):
        known = ", ".join(BUILTIN_STAGES)
        problems.append(document.problem((*path, "type"), f"is required, one of: {known}"))
        return None
    if kind in BUILTIN_STAGES:
        return BUILTIN_STAGES[kind]
    try:
        config = get_registry().config(Kind.STAGE, kind)
        if config is None or not issubclass(config, StageConfig):
            raise ConfigError(f"the config of stage type '{kind}' should derive from StageConfig")
        return config
    except PalestraError as exc:
        problems.append(document.problem((*path, "type"), str(exc)))
        return None


def _resolve_sampler(document: Document, data: dict[str, Any], problems: list[str]) -> None:
    """Check the sampler's options by its plugin, and fill in their defaults."""
    engine: Any = data.get("engine", {})
    if not isinstance(engine, dict):
        return  # what is wrong with it is said when the recipe is validated
    block: Any = cast("dict[str, Any]", engine).get("sampler", {"type": "transformers"})
    if isinstance(block, dict):
        block = {"type": "transformers", **cast("dict[str, Any]", block)}
    path: KeyPath = ("engine", "sampler")
    resolved, _ = _resolve_block(document, path, block, Kind.SAMPLER, problems)
    data["engine"] = {**cast("dict[str, Any]", engine), "sampler": resolved}


def _resolve_curricula(document: Document, data: dict[str, Any], problems: list[str]) -> None:
    """Check the options of the mixtures' curricula by their plugins, and fill in the defaults."""
    mixtures = dict(_mappings(data.get("mixtures")))
    for name, mixture in mixtures.items():
        block = mixture.get("curriculum")
        if isinstance(block, dict):
            path: KeyPath = ("mixtures", name, "curriculum")
            resolved, _ = _resolve_block(document, path, block, Kind.CURRICULUM, problems)
            mixtures[name] = {**mixture, "curriculum": resolved}
    if mixtures:
        data["mixtures"] = {**cast("dict[str, Any]", data["mixtures"]), **mixtures}


def _resolve_reward_models(document: Document, data: dict[str, Any], problems: list[str]) -> None:
    """Check the options of the reward models by their plugins, and fill in the defaults."""
    for name, block in _mappings(data.get("reward_models")):
        path: KeyPath = ("reward_models", name)
        resolved, _ = _resolve_block(document, path, block, Kind.REWARD_MODEL, problems)
        data["reward_models"] = {**data["reward_models"], name: resolved}


def _resolve_block(
    document: Document,
    path: KeyPath,
    block: Any,
    kind: Kind,
    problems: list[str],
) -> tuple[Any, type[BaseModel] | None]:
    """Validate a block ``{type: NAME, **options}`` by the config of the plugin it names.

    Returns:
        The block with its defaults filled in, and the plugin's config class.
    """
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        return block, None  # what is wrong with it is said when the stage is validated
    values = cast("dict[str, Any]", block)
    try:
        config = get_registry().config(kind, values["type"])
    except PalestraError as exc:
        problems.append(document.problem((*path, "type"), str(exc)))
        return values, None
    if config is None:
        for key in values:
            if key != "type":
                message = f"unknown key: {values['type']} takes no options"
                problems.append(document.problem((*path, key), message))
        return values, None
    theirs = {k: v for k, v in values.items() if k != "type"}
    checked = _validate(config, theirs, path, document, problems)
    if checked is None:
        return values, config
    return {**values, **checked.model_dump(mode="json", by_alias=True)}, config


def _validate(
    model: type[M], data: dict[str, Any], path: KeyPath, document: Document, problems: list[str]
) -> M | None:
    try:
        return model.model_validate(data)
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            if error["type"] == "default_factory_not_called":
                continue  # a consequence of another error
            where = (*path, *error["loc"])
            problems.append(document.problem(where, explain(error, model)))
        return None
