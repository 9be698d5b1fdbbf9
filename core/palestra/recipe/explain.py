"""Pydantic's errors, in the words of someone who edits YAML."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from palestra.errors import did_you_mean


def explain(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what pydantic found wrong, in the words of someone who edits YAML.

    Args:
        error: one of `ValidationError.errors`.
        model: what was validated, for the keys that it takes.
    """
    kind, given = error["type"], error["input"]
    message = error["msg"].partition(", unable to parse")[0]
    if kind == "extra_forbidden":
        fields = _fields_at(model, error["loc"][:-1])
        key = str(error["loc"][-1])
        near = did_you_mean(key, fields)
        return f"unknown key '{key}'.{near or ' It takes: ' + ', '.join(fields)}"
    if kind == "missing":
        return "is required"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"should be a mapping, not {_shown(given)}"
    if kind == "too_short" and not given:
        return "should not be empty"
    if kind == "literal_error" and isinstance(given, str):
        expected = str(error.get("ctx", {}).get("expected", ""))
        near = did_you_mean(given, [part.strip("'") for part in expected.split(", ")])
        return f"should be {expected}, not '{given}'.{near or _as_yaml(given)}"
    what = message.replace("Input should be", "should be").replace("a valid integer", "an integer")
    what = what.replace("a valid ", "a ")
    hint = _as_yaml(given) if kind in _SCALARS else ""
    return what if ", not " in what else f"{what}, not {_shown(given)}{'.' if hint else ''}{hint}"


_SCALARS = ("bool_type", "int_type", "float_type")
_TRUTHS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def _as_yaml(given: object) -> str:
    """Return how to write text that YAML 1.1, or a slip of the pen, means as something else."""
    if not isinstance(given, str):
        return ""
    if (truth := _TRUTHS.get(given.lower())) is not None:
        return f" In YAML 1.2 `{given}` is text; a truth value is written {truth}"
    try:
        number = float(given.replace("_", "").strip())
    except ValueError:
        return ""
    if number != number or number in (float("inf"), float("-inf")):
        return ""
    return f" It is text: write {number:g}, without quotes or leading zeros"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fields_at(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """Return the keys that may stand at `path` inside `model`."""
    here: Any = model
    for key in path:
        if _is_model(here):
            fields = {field.alias or name: field for name, field in here.model_fields.items()}
            here = _plain(fields[str(key)].annotation) if str(key) in fields else None
        else:  # the item of a list, the value of a mapping
            inner = get_args(here)
            here = _plain(inner[-1]) if inner else None
    if not _is_model(here):
        return []
    return [field.alias or name for name, field in here.model_fields.items()]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _plain(annotation: Any) -> Any:
    """Return what is inside ``Annotated[M, ...]`` and ``M | None``."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = get_args(annotation)[0]
    return annotation
