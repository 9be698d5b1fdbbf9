"""Each field of a spec that is wrong is an error that names it."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palestra.errors import PluginError
from palestra.plugins.facts import LoadedPlugin, from_json, to_json
from palestra.plugins.kinds import Kind
from palestra.plugins.specs import EnvironmentSpec, SamplerSpec
from palestra.plugins.validation import checked, namespace_of, spec_list

WRONG = [
    ({"reward_range": (0.0, math.inf)}, "reward_range should be two finite numbers"),
    ({"reward_range": (1.0, 0.0)}, "reward_range should be two finite numbers"),
    ({"reward_range": (0.0, math.nan)}, "reward_range"),
    ({"reward_range": 1.0}, "reward_range"),
    ({"reward_range": (0.0, 0.5, 1.0)}, "reward_range"),
    ({"reward_range": (False, True)}, "reward_range"),
    ({"chance": 1.01}, "chance should be a number from 0 to 1, not 1.01"),
    ({"chance": math.nan}, "chance"),
    ({"chance": "0.5"}, "chance"),
    ({"splits": ("train", "dev")}, "splits should be some of train, validation, test"),
    ({"splits": ()}, "splits"),
    ({"splits": "train"}, "splits should be a tuple of strings, not 'train'"),
    ({"size": {"dev": 3}}, "size"),
    ({"size": {"train": -1}}, "size"),
    ({"size": 100}, "size"),
    ({"max_turns": 0}, "max_turns should be a whole number, 1 or more, not 0"),
    ({"max_turns": 1.5}, "max_turns"),
    ({"max_turns": True}, "max_turns"),
    ({"isolation": "thread"}, "isolation should be 'inline' or 'process', not 'thread'"),
    ({"isolation": ["inline"]}, "isolation"),
    ({"deterministic": "no"}, "deterministic should be true or false"),
    ({"has_reference": 1}, "has_reference"),
    ({"requires": "sympy"}, "requires should be a tuple of strings, not 'sympy'"),
    ({"requires": (1,)}, "requires"),
    ({"summary": None}, "summary should be a string"),
    ({"kwargs": {"shape": (1, 2)}}, "kwargs.shape is a tuple, and specs hold plain data only"),
    ({"kwargs": {"a": [{"b": print}]}}, "kwargs.a[0].b is a builtin_function_or_method"),
    ({"kwargs": {"a": {1: 2}}}, "kwargs.a.1: a key should be a string, not 1"),
    ({"kwargs": [1]}, "kwargs should be a mapping"),
    ({"entry_point": "acme.add"}, "entry_point should be 'package.module:Object'"),
    ({"config": "Config"}, "config should be 'package.module:Object', not 'Config'"),
    ({"api": "1"}, "api '1' is no range"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG, ids=lambda v: str(v)[:40])
def test_a_wrong_field_is_named(fields: dict, message: str):
    spec = EnvironmentSpec(**{"name": "acme/Add-v1", "entry_point": "acme:Add", **fields})
    with pytest.raises(PluginError) as caught:
        checked(Kind.ENVIRONMENT, spec)
    assert str(caught.value).startswith("environment 'acme/Add-v1': ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("acme/Add", "an id ends with its version, as 'acme/Add-v1'"),
        ("acme/Add-1", "an id ends with its version, as 'acme/Add-v1'"),
        ("Add-v2", "an id begins with its namespace, as 'acme/Add-v2'"),
        ("Add", "an id begins with its namespace, as 'acme/Add-v1'"),
        ("acme/sub/Add-v1", "an id is 'namespace/Name-vN'"),
        ("acme/Ädd-v1", "an id is 'namespace/Name-vN'"),
        ("", "an id begins with its namespace"),
    ],
)
def test_an_id_says_which_part_is_missing(env_id: str, message: str):
    with pytest.raises(PluginError) as caught:
        namespace_of(env_id, "acme")
    assert message in str(caught.value)


def test_lists_become_tuples_and_nothing_else_changes():
    spec = EnvironmentSpec(
        name="acme/Add-v1",
        entry_point="acme:Add",
        requires=["numpy"],  # pyright: ignore
        splits=["test"],  # pyright: ignore
        reward_range=[0, 2],  # pyright: ignore
    )
    right = EnvironmentSpec(
        name="acme/Add-v1",
        entry_point="acme:Add",
        requires=("numpy",),
        splits=("test",),
        reward_range=(0.0, 2.0),
    )
    assert checked(Kind.ENVIRONMENT, spec) == right
    assert checked(Kind.ENVIRONMENT, right) == right


def test_a_subclass_of_a_spec_is_refused_because_its_fields_would_be_lost():
    class Mine(SamplerSpec):
        pass

    with pytest.raises(PluginError, match="one item is of type Mine"):
        spec_list(Kind.SAMPLER, [Mine(name="s", entry_point="a:b")])


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    kwargs=st.dictionaries(st.text(), PLAIN, max_size=3),
    chance=st.floats(0, 1),
    size=st.none() | st.fixed_dictionaries({"train": st.integers(0)}),
    error=st.text(),
)
def test_what_passes_comes_back_from_json_as_it_was(kwargs, chance, size, error):
    spec = EnvironmentSpec(
        name="acme/Add-v1", entry_point="acme:Add", kwargs=kwargs, chance=chance, size=size
    )
    plugin = LoadedPlugin(
        name="acme",
        distribution="acme",
        version="1",
        module="acme",
        state="ok",
        error=error,
        specs=((Kind.ENVIRONMENT, checked(Kind.ENVIRONMENT, spec)),),
        hooks=("palestra_environments",),
        claims=frozenset({"acme/Add-v1"}),
    )
    assert from_json(json.loads(json.dumps(to_json(plugin)))) == plugin
