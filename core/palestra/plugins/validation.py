"""Whether specs keep their contract: each field of the right kind, each name where it may stand.

All of it is checked when a plugin is probed, so that a mistake is a line of ``palestra plugins ls``
and not a surprise in the middle of a run.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from palestra.errors import PluginError
from palestra.plugins.kinds import Kind
from palestra.plugins.specs import API_VERSION, EnvironmentSpec, Spec
from palestra.splits import SPLITS

_ENV_ID = re.compile(r"([A-Za-z0-9][\w-]*)/([A-Za-z0-9][\w.-]*)-v\d+", re.ASCII)
_PLAIN_NAME = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_ENTRY_POINT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_DEFAULT_API = ">=1,<2"
_ISOLATION = ("inline", "process")


def spec_list(kind: Kind, returned: object) -> list[Spec]:
    """Return what a plugin's hook returned, as the list of specs that it should be.

    Raises:
        PluginError: it is something else.
    """
    wanted = kind.spec_class
    if isinstance(returned, (str, Spec, Mapping)) or not isinstance(returned, Iterable):
        raise PluginError(
            f"{kind.hook} should return a list of {wanted.__name__}, not {type(returned).__name__}"
        )
    specs = list(cast("Iterable[object]", returned))
    for spec in specs:
        if type(spec) is not wanted:  # a subclass has fields that nobody would keep
            raise PluginError(
                f"{kind.hook} should return a list of {wanted.__name__}, "
                f"but one item is of type {type(spec).__name__}"
            )
    return cast("list[Spec]", specs)


def checked(kind: Kind, spec: Spec) -> Spec:
    """Return a spec with lists made tuples, so that it is plain data of the types it declares.

    Args:
        kind: the kind of component that declares it.
        spec: one spec.

    Raises:
        PluginError: a field is not what it should be; the error names it.
    """
    if not isinstance(cast("object", spec.name), str):
        raise PluginError(f"a {kind.label}'s name should be a string, not {spec.name!r}")
    what = f"{kind.label} '{spec.name}'"
    for key in ("entry_point", "summary", "config", "api"):
        if not isinstance(value := getattr(spec, key), str):
            raise PluginError(f"{what}: {key} should be a string, not {value!r}")
    for key, reference in (("entry_point", spec.entry_point), ("config", spec.config)):
        if (reference or key == "entry_point") and not _ENTRY_POINT.fullmatch(reference):
            raise PluginError(f"{what}: {key} should be 'package.module:Object', not '{reference}'")
    spec = dataclasses.replace(spec, requires=_strings(what, "requires", spec.requires))
    _check_api(what, spec.api)
    if isinstance(spec, EnvironmentSpec):
        return _checked_environment(what, spec)
    if not _PLAIN_NAME.fullmatch(spec.name):
        raise PluginError(f"{what}: a name is letters, digits, '_', '-' and '.'")
    return spec


def namespace_of(env_id: str, example: str) -> str:
    """Return the part of an environment's id before the slash.

    Args:
        env_id: ``namespace/Name-vN``.
        example: a namespace that would be right here, for the error.

    Raises:
        PluginError: it is no id; the error says which part is missing.
    """
    if matched := _ENV_ID.fullmatch(env_id):
        return matched.group(1)
    what = f"environment '{env_id}'"
    bare = env_id.rpartition("/")[2]
    versioned = re.search(r"-v\d+$", bare) is not None
    if "/" not in env_id:
        whole = f"{example}/{bare}" if versioned else f"{example}/Add-v1"
        raise PluginError(f"{what}: an id begins with its namespace, as '{whole}'")
    if not versioned:
        raise PluginError(f"{what}: an id ends with its version, as '{example}/Add-v1'")
    raise PluginError(
        f"{what}: an id is 'namespace/Name-vN' of letters, digits, '_' and '-', "
        f"as '{example}/Add-v1'"
    )


def _checked_environment(what: str, spec: EnvironmentSpec) -> EnvironmentSpec:
    """Check the fields that only environments have."""
    splits = _strings(what, "splits", spec.splits)
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        known = ", ".join(SPLITS)
        raise PluginError(f"{what}: splits should be some of {known}, not {list(splits)}")
    _want(what, spec, "chance", _is_share, "a number from 0 to 1")
    _want(what, spec, "max_turns", lambda n: _is_int(n) and n >= 1, "a whole number, 1 or more")
    _want(what, spec, "has_reference", lambda b: isinstance(b, bool), "true or false")
    _want(what, spec, "deterministic", lambda b: isinstance(b, bool), "true or false")
    _want(what, spec, "isolation", lambda i: i in _ISOLATION, "'inline' or 'process'")
    _want(what, spec, "reward_range", _is_range, "two finite numbers, the lower one first")
    _want(
        what,
        spec,
        "size",
        lambda size: size is None or _is_size(size, splits),
        "None, or the number of tasks of each split that it offers",
    )
    _want(what, spec, "kwargs", lambda kwargs: isinstance(kwargs, Mapping), "a mapping")
    for key, value in spec.kwargs.items():
        _check_plain(what, f"kwargs.{key}", key, value)
    low, high = spec.reward_range
    return dataclasses.replace(
        spec,
        splits=splits,
        reward_range=(float(low), float(high)),
        kwargs=dict(spec.kwargs),
        size=None if spec.size is None else dict(spec.size),
    )


def _want(what: str, spec: Spec, key: str, right: Callable[[Any], bool], description: str) -> None:
    value = getattr(spec, key)
    if not right(value):
        raise PluginError(f"{what}: {key} should be {description}, not {value!r}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return (_is_int(value) or isinstance(value, float)) and math.isfinite(cast("float", value))


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_range(value: Any) -> bool:
    pair = isinstance(value, (tuple, list)) and len(cast("list[object]", value)) == 2
    return pair and all(map(_is_number, value)) and value[0] < value[1]


def _is_size(value: Any, splits: tuple[str, ...]) -> bool:
    return isinstance(value, Mapping) and all(
        split in splits and _is_int(count) and count >= 0
        for split, count in cast("Mapping[object, Any]", value).items()
    )


def _strings(what: str, key: str, value: object) -> tuple[str, ...]:
    listed = list(cast("Iterable[object]", value)) if isinstance(value, (tuple, list)) else [None]
    if not all(isinstance(item, str) for item in listed):
        raise PluginError(f"{what}: {key} should be a tuple of strings, not {value!r}")
    return tuple(cast("list[str]", listed))


def _check_plain(what: str, where: str, key: object, value: object) -> None:
    """Refuse what would not be the same after a journey through JSON, such as a tuple or a set."""
    if not isinstance(key, str):
        raise PluginError(f"{what}: {where}: a key should be a string, not {key!r}")
    if value is None or type(value) in (str, int, float, bool):
        return
    if type(value) is list:
        for index, item in enumerate(cast("list[object]", value)):
            _check_plain(what, f"{where}[{index}]", "", item)
    elif type(value) is dict:
        for inner, item in cast("dict[object, object]", value).items():
            _check_plain(what, f"{where}.{inner}", inner, item)
    else:
        raise PluginError(
            f"{what}: {where} is a {type(value).__name__}, and specs hold plain data only: "
            "strings, numbers, true, false, None, lists and dictionaries of these"
        )


def _check_api(what: str, api: str) -> None:
    if api == _DEFAULT_API:
        return  # what nearly all specs say: saves importing packaging
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        fits = SpecifierSet(api).contains(API_VERSION)
    except InvalidSpecifier as exc:
        raise PluginError(f"{what}: api '{api}' is no range of versions, as '>=1,<2'") from exc
    if not fits:
        raise PluginError(
            f"{what} was written for plugin API {api}, and this Palestra has {API_VERSION}. "
            "Install a version of the plugin that fits"
        )
