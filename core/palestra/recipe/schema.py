"""The JSON Schema of a recipe: what an editor completes and checks the YAML by.

``python -m palestra.recipe.schema`` writes the one that is published in the package. A schema sees
shapes; what has to fit together, `palestra recipes validate` checks.
"""

from __future__ import annotations

import ast
import copy
import inspect
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from palestra.plugins.registry import Kind, Registered, get_registry
from palestra.recipe.config import Recipe
from palestra.recipe.engine import SamplerConfig
from palestra.recipe.layers import MODEL_PATTERNS
from palestra.stages.config import BUILTIN_STAGES

PUBLISHED = Path(__file__).with_name("recipe.schema.json")
"""The schema of Palestra's own plugins, as the package has it."""

_DIALECT = "http://json-schema.org/draft-07/schema#"  # what editors know
_BLOCKS = {
    "OptimizerConfig": (Kind.POLICY_OPTIMIZER, "grpo", ()),
    "SamplerConfig": (Kind.SAMPLER, "transformers", ()),
    "CurriculumConfig": (Kind.CURRICULUM, None, ()),
    "RewardModelBlock": (Kind.REWARD_MODEL, None, ()),
}
"""Blocks ``{type: NAME, **options}``: kind, default name, and keys that are not the plugin's."""

Json = dict[str, Any]


class _Draft7(GenerateJsonSchema):
    """Writes pairs the way draft 7 knows them, and describes each key by the string under it.

    Pydantic's `use_attribute_docstrings` would do the latter whenever a config is imported, and
    take a third of a second of every command for it.
    """

    def tuple_schema(self, schema: Any) -> Json:
        written: Json = super().tuple_schema(schema)
        if "prefixItems" in written:
            written["items"] = written.pop("prefixItems")
            written["additionalItems"] = False
        return written

    def model_schema(self, schema: Any) -> Json:
        written: Json = super().model_schema(schema)
        model = cast("type[BaseModel]", schema["cls"])
        said = _docstrings(model)
        for name, field in model.model_fields.items():
            described = written.get("properties", {}).get(field.alias or name)
            if described is not None and name in said:
                described.setdefault("description", said[name])
        return written


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the string under each field of a model and of those that it derives from."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not issubclass(base, BaseModel) or base is BaseModel:
            continue
        try:
            (tree,) = ast.parse(dedent(inspect.getsource(base))).body
        except (OSError, SyntaxError):
            continue  # a class without a file
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for field, below in pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            ):
                found[field.target.id] = inspect.cleandoc(below.value.value)
    return found


def recipe_schema(distribution: str | None = None) -> Json:
    """Return the JSON Schema of a recipe's file.

    Args:
        distribution: describe the plugins of this one alone; of all that are installed where
            absent.
    """
    stages = {**dict(_configs(Kind.STAGE, distribution)), **BUILTIN_STAGES}
    plugins = {
        kind: dict(_configs(kind, distribution, with_none=True)) for kind, _, _ in _BLOCKS.values()
    }
    models = [Recipe, *stages.values(), SamplerConfig]
    models += [c for found in plugins.values() for c in found.values() if c is not None]
    references, generated = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)],
        ref_template="#/$defs/{model}",
        schema_generator=_Draft7,
    )
    definitions = cast("dict[str, Json]", generated["$defs"])
    name_of = {m: str(r["$ref"]).rpartition("/")[2] for (m, _), r in references.items()}
    required = {name: _without_required(schema) for name, schema in definitions.items()}
    whole = definitions.pop(name_of[Recipe])
    for block, (kind, default, own) in _BLOCKS.items():
        named = {n: name_of[c] if c is not None else None for n, c in plugins[kind].items()}
        definitions[block] = _block(definitions, block, named, default, own)
    definitions["SourceConfig"] = _source(definitions["SourceConfig"])
    definitions["EvalEnv"] = {"anyOf": [{"type": "string"}, definitions["EvalEnv"]]}
    for name, config in stages.items():
        definitions[name_of[config]]["properties"]["type"] = {
            "const": name,
            "description": "Type of the stage.",
        }
    kinds = {name: name_of[config] for name, config in stages.items()}
    definitions["Stage"] = _stage(kinds)
    needs = [_if_type(name, {"required": required[ref]}) for name, ref in kinds.items()]
    properties = cast("Json", whole["properties"])
    properties["stages"]["additionalProperties"] = {"$ref": "#/$defs/Stage"}
    properties |= _file_keys(whole)
    complete = {
        "required": ["model", "stages"],
        "properties": {"stages": {"additionalProperties": {"required": ["type"], "allOf": needs}}},
    }
    return {
        "$schema": _DIALECT,
        "title": "Palestra recipe",
        "description": "A graph of stages. See: palestra recipes validate FILE",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        # What a recipe extends may have the rest.
        "if": {"not": {"required": ["extends"]}},
        "then": complete,
        "$defs": dict(sorted(_reachable(properties, definitions).items())),
    }


def written(schema: Json) -> str:
    """Return a schema as the text of its file."""
    return json.dumps(schema, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _configs(
    kind: Kind, distribution: str | None, with_none: bool = False
) -> Iterator[tuple[str, Any]]:
    """Yield the name and the config model of each component of a kind; a broken one is left out."""
    from palestra.errors import PalestraError

    registry = get_registry()
    for found in registry.specs(kind):
        if distribution is not None and found.distribution != distribution:
            continue
        try:
            config = registry.config(kind, _full_name(found))
        except PalestraError:
            continue
        if config is not None or with_none:
            yield found.spec.name, config


def _full_name(found: Registered) -> str:
    return f"{found.distribution}:{found.spec.name}"


def _without_required(schema: Json) -> list[str]:
    """Take `required` away, and return it: what a recipe extends may have the key.

    Keys of sources stay required: lists are replaced as a whole.
    """
    required = cast("list[str]", schema.get("required", []))
    if schema.get("title") not in ("SourceConfig", "EvalEnv"):
        schema.pop("required", None)
    return required


def _if_type(name: str, then: Json, default: bool = False) -> Json:
    """Return a rule for a mapping whose `type` is `name`, or which has none where that means it."""
    condition: Json = {"properties": {"type": {"const": name}}}
    if not default:
        condition["required"] = ["type"]
    return {"if": condition, "then": then}


def _block(
    definitions: dict[str, Json],
    block: str,
    named: dict[str, str | None],
    default: str | None,
    own: tuple[str, ...],
) -> Json:
    """Return the schema of a plugin's block: `type`, and for each plugin its options."""
    here = definitions[block]
    shared = {key: here["properties"][key] for key in ("type", *own)}
    shared["type"] = {
        "description": here["properties"]["type"].get("description", ""),
        "anyOf": [{"enum": sorted(named)}, {"type": "string"}],
        **({"default": default} if default is not None else {}),
    }
    rules: list[Json] = []
    for name, ref in sorted(named.items()):
        options = copy.deepcopy(definitions[ref]["properties"]) if ref is not None else {}
        then = {"properties": {**options, **shared}, "additionalProperties": False}
        rules.append(_if_type(name, then, default=name == default))
    out: Json = {
        "type": "object",
        "description": here.get("description", ""),
        "properties": shared,
        "allOf": rules,
    }
    return out if default is not None else {**out, "required": ["type"]}


def _source(schema: Json) -> Json:
    """Return the schema of an entry of `sources`: an environment, or another mixture."""
    nested: Json = {
        "type": "object",
        "description": "The sources of another mixture, which share the weight.",
        "properties": {
            "mixture": {"type": "string", "description": "Name of the other mixture."},
            "weight": schema["properties"]["weight"],
        },
        "required": ["mixture"],
        "additionalProperties": False,
    }
    return {
        "if": {"type": "object", "required": ["mixture"]},
        "then": nested,
        "else": schema,
        # Outside of `if`, so that editors offer them before one is written.
        "properties": {"env": {}, "mixture": {}},
    }


def _stage(kinds: dict[str, str]) -> Json:
    return {
        "type": "object",
        "properties": {
            "type": {
                "description": "Type of the stage.",
                "anyOf": [{"enum": sorted(kinds)}, {"type": "string"}],
            }
        },
        "allOf": [_if_type(name, {"$ref": f"#/$defs/{ref}"}) for name, ref in kinds.items()],
    }


def _file_keys(whole: Json) -> Json:
    """Return the keys that a file may have and a resolved recipe has not."""
    name = {"type": "string"}
    return {
        "extends": {
            "description": "Recipes to begin from: shipped ones by name, files by their path from "
            "this one. Own keys win; mappings merge, lists are replaced.",
            "anyOf": [name, {"type": "array", "items": name}],
        },
        "when_model": {
            "type": "object",
            "description": "Values for the embedded model (tiny) or for any other, by dotted key.",
            "properties": {pattern: {"type": "object"} for pattern in MODEL_PATTERNS},
            "additionalProperties": False,
        },
    }


def _reachable(start: Any, definitions: dict[str, Json]) -> dict[str, Json]:
    """Return the definitions that `start` refers to, in however many steps."""
    found: dict[str, Json] = {}
    waiting: list[Any] = [start]
    while waiting:
        here = waiting.pop()
        if isinstance(here, list):
            waiting += cast("list[Any]", here)
        elif isinstance(here, dict):
            values = cast("Json", here)
            name = str(values.get("$ref", "")).rpartition("/")[2]
            if name in definitions and name not in found:
                found[name] = definitions[name]
                waiting.append(definitions[name])
            waiting += list(values.values())
    return found


if __name__ == "__main__":
    PUBLISHED.write_text(written(recipe_schema("palestra")), encoding="utf-8")
    print(PUBLISHED)
