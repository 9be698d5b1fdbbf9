"""The published JSON Schema: up to date, and it takes and refuses what the loader does."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from palestra.recipe.config import load_recipe, recipe_text, shipped_recipes
from palestra.recipe.document import parse_document
from palestra.recipe.schema import PUBLISHED, recipe_schema, written

HERE = Path(__file__).parent
SCHEMA: dict[str, Any] = json.loads(PUBLISHED.read_text(encoding="utf-8"))
VALIDATOR = Draft7Validator(SCHEMA)
CANONICAL = parse_document((HERE / "canonical.yaml").read_text(), "canonical.yaml").data


def complaints(recipe: object) -> list[str]:
    return [e.message for e in VALIDATOR.iter_errors(recipe)]


def changed(path: str, value: object) -> dict[str, Any]:
    """The canonical recipe with another value at a dotted path."""
    recipe = copy.deepcopy(CANONICAL)
    here: Any = recipe
    *way, last = path.split(".")
    for key in way:
        here = here[int(key) if key.isdecimal() else key]
    here[last] = value
    return recipe


def test_the_published_schema_is_up_to_date():
    """If not: python -m palestra.recipe.schema"""
    assert PUBLISHED.read_text(encoding="utf-8") == written(recipe_schema("palestra"))


def test_it_is_a_schema():
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", [name for name, _ in shipped_recipes()])
def test_shipped_recipes_are_valid(name: str):
    assert complaints(parse_document(recipe_text(name), name).data) == []
    assert complaints(load_recipe(name).as_dict()) == []


def test_the_tests_recipes_are_valid():
    for file in ("canonical.yaml", "whole.yaml"):
        assert complaints(parse_document((HERE / file).read_text(), file).data) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("stages.zero.stepz", 1, "'stepz' was unexpected"),
        ("stages.zero.steps", "many", "is not of type 'integer'"),
        ("stages.zero.optimizer.clap", 1, "'clap' was unexpected"),
        ("stages.zero.optim.lr", 1, "'lr' was unexpected"),
        ("mixtures.reasoning.sources.0.wieght", 1, "'wieght' was unexpected"),
        ("mixtures.reasoning.sources.0.weight", -1, "less than the minimum"),
        ("mixtures.reasoning.sources.0.floor", 2, "greater than the maximum"),
        ("engine.sampler.batch", 1, "'batch' was unexpected"),
        ("extend", "r1-tiny", "'extend' was unexpected"),
    ],
)
def test_what_the_loader_refuses_is_refused(path: str, value: object, said: str):
    assert any(said in message for message in complaints(changed(path, value)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("mixtures.reasoning.sources", [{"mixture": "other", "weight": 2}]),
        ("mixtures.reasoning.curriculum", {"type": "success_rate", "low": 0.1}),
        ("mixtures.reasoning.curriculum", {"type": "a_plugins", "anything": 1}),
        ("stages.zero.optimizer", {"type": "a_plugins", "anything": 1}),
        ("stages.more", {"type": "a_plugins", "anything": 1}),
        ("extends", ["r1-tiny", "mine.yaml"]),
        ("when_model", {"other": {"stages.zero.steps": 3}}),
    ],
)
def test_what_the_loader_takes_is_taken(path: str, value: object):
    assert complaints(changed(path, value)) == []


def test_a_recipe_that_extends_another_may_leave_the_rest_to_it():
    assert complaints({"extends": "r1-tiny", "stages": {"zero": {"type": "rl", "steps": 3}}}) == []
    assert complaints({"stages": {"zero": {"type": "rl", "steps": 3}}}) != []


def test_every_key_of_a_stage_and_a_source_is_described():
    source = SCHEMA["$defs"]["SourceConfig"]["else"]
    for schema in (SCHEMA["$defs"]["RLConfig"], SCHEMA["$defs"]["EvalConfig"], source):
        silent = [k for k, v in schema["properties"].items() if not v.get("description")]
        assert silent == []
