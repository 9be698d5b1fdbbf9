"""Every key of a recipe with its type, default and description, read from the config models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from palestra.config import PluginBlock
from palestra.mixture.config import CurriculumConfig
from palestra.plugins.registry import Kind, get_registry
from palestra.recipe.config import Recipe
from palestra.recipe.engine import SamplerConfig
from palestra.recipe.schema import _Draft7, recipe_schema
from palestra.rewards.config import RewardModelBlock
from palestra.stages.config import BUILTIN_STAGES, OptimizerConfig, StageConfig
from palestra_reference.markdown import cell, table

Model = type[BaseModel]

_PLUGINS: dict[Model, Kind] = {
    OptimizerConfig: Kind.POLICY_OPTIMIZER,
    SamplerConfig: Kind.SAMPLER,
    CurriculumConfig: Kind.CURRICULUM,
    RewardModelBlock: Kind.REWARD_MODEL,
}
_OF_FILES = ("extends", "when_model")
"""Keys of a file that a resolved recipe has no more, so no model has them either."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a block, as a row of its table."""

    name: str
    type: str
    default: str
    description: str


@dataclass(frozen=True, slots=True)
class Block:
    """A mapping in a recipe: where it stands, what it is, and its keys."""

    title: str
    summary: str
    keys: tuple[Key, ...]


def keys() -> str:
    """Return a section with a table for each block of a recipe."""
    return "\n".join(map(_section, blocks()))


def blocks() -> Iterator[Block]:
    """Yield each block of a recipe: the file, what stands in it, and what its plugins take."""
    properties: dict[str, Any] = recipe_schema("palestra")["properties"]
    of_files = [
        Key(name, _type(properties[name], {}), "", properties[name]["description"])
        for name in _OF_FILES
    ]
    yield _block("The file", Recipe, more=of_files)
    yield from _below(Recipe, "")
    yield _block("stages.NAME", StageConfig)
    yield from _below(StageConfig, "stages.NAME.")
    for name, model in BUILTIN_STAGES.items():
        kinds = (StageConfig, *BUILTIN_STAGES.values())
        base = next(m for m in model.__mro__[1:] if m in kinds)
        yield _block(f"stages.NAME, type {name}", model, without=base)
        yield from _below(model, f"stages.NAME, type {name}: ", without=base)


def _below(model: Model, path: str, *, without: Model | None = None) -> Iterator[Block]:
    """Yield the blocks that stand in a model's fields, and in theirs."""
    for name, field in _own_fields(model, without):
        for inner in _models(field.annotation):
            if issubclass(inner, StageConfig):
                continue  # each type of stage has a section of its own
            title = path + (field.alias or name) + _inside(field.annotation)
            yield _block(title, inner)
            yield from _below(inner, f"{title}.")
            if issubclass(inner, PluginBlock):
                yield from _options(_PLUGINS[inner], title)


def _options(kind: Kind, title: str) -> Iterator[Block]:
    """Yield what each of Palestra's own plugins takes besides `type`."""
    registry = get_registry()
    for found in registry.specs(kind):
        if found.distribution != "palestra":
            continue
        config = registry.config(kind, f"palestra:{found.spec.name}")
        if config is not None:
            yield _block(f"{title}, type {found.spec.name}", config)
            yield from _below(config, f"{title}, type {found.spec.name}: ")


def _own_fields(model: Model, without: Model | None) -> Iterator[tuple[str, Any]]:
    inherited: set[str] = set(without.model_fields) if without is not None else set()
    return ((name, f) for name, f in model.model_fields.items() if name not in inherited)


def _models(annotation: object) -> Iterator[Model]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _inside(annotation: object) -> str:
    """Return how a path goes on into a list or a mapping of blocks."""
    return {list: "[]", dict: ".NAME"}.get(get_origin(annotation) or object, "")


def _block(
    title: str, model: Model, *, without: Model | None = None, more: list[Key] | None = None
) -> Block:
    schema = model.model_json_schema(schema_generator=_Draft7)
    rows: list[Key] = []
    for name, field in _own_fields(model, without):
        alias = field.alias or name
        rows.append(
            Key(
                name=alias,
                type=_type(schema["properties"][alias], schema.get("$defs", {})),
                default=_default(field),
                description=schema["properties"][alias].get("description", ""),
            )
        )
    return Block(title, model.__doc__ or "", tuple(rows + (more or [])))


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return ""
    return f"`{json.dumps(value, default=str)}`" if value not in (None, "", [], {}) else ""


_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_NAMES = {"integer": "whole number", "string": "text", "boolean": "true or false"}


def _type(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return the type of a value in words, from its JSON Schema."""
    if "$ref" in schema:
        return _type(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        parts = [_type(s, definitions) for s in schema["anyOf"] if s.get("type") != "null"]
        return " or ".join(dict.fromkeys(filter(None, parts)))
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "")
    if kind == "array":
        if isinstance(schema.get("items"), list):
            return f"[{', '.join(_type(s, definitions) for s in schema['items'])}]"
        return f"list of {_type(schema.get('items', {}), definitions) or 'anything'}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        of = _type(inner, definitions) if isinstance(inner, dict) else ""
        return f"mapping to {of}" if of else "mapping"
    bounds = [f"{sign} {schema[key]:g}" for key, sign in _BOUNDS.items() if key in schema]
    return " ".join([_NAMES.get(kind, kind), *([", ".join(bounds)] if bounds else [])])


def _section(block: Block) -> str:
    rows = [(f"`{k.name}`", cell(k.type), k.default, cell(k.description)) for k in block.keys]
    head = ("key", "type", "default", "what it is")
    body = table(head, rows) if rows else "It has no keys of its own."
    summary = cell(block.summary.split("\n\n")[0])
    title = re.sub(r"([\[\]_])", r"\\\1", block.title)
    return f"## {title}\n\n{summary}\n\n{body}\n"
