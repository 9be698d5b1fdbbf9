"""A YAML document in which every key knows where it was written.

A recipe's values come from its file, from its `when_model` defaults and from ``--set``. `Document`
keeps for each key path the label of the place that wrote it last (``recipe.yaml:14``, or
``--set a.b=c``), so that an error found much later still points at the line to edit.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from palestra.errors import ConfigError, did_you_mean

KeyPath = tuple[str | int, ...]
_MAX_NODES = 100_000
_Base: type[yaml.SafeLoader] = cast(
    "type[yaml.SafeLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader)
)


class _Loader(_Base):
    """The safe loader with YAML 1.2's scalars: ``1e-4`` is a number, ``no`` is Norwegian."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    (
        "float",
        r"^(?:[-+]?(?:[0-9][0-9_]*)?\.[0-9]+(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+\.?[eE][-+]?[0-9]+"
        r"|[-+]?[0-9]+\.|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
    ("merge", r"^(?:<<)$", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


class _Dumper(yaml.SafeDumper):
    """Quotes whatever this loader, or a YAML 1.1 reader, would take for something but text."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [
            *yaml.SafeDumper.yaml_implicit_resolvers.get(first, []),
            *_Loader.yaml_implicit_resolvers.get(first, []),
        ]
        for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
    }


def yaml_dumper() -> type[yaml.SafeDumper]:
    """Return the dumper whose output `parse_document` reads as what it was."""
    return _Dumper


def dotted(path: Sequence[str | int]) -> str:
    """Return ``stages.zero.steps`` for ``("stages", "zero", "steps")``."""
    return ".".join(str(key) for key in path)


class Document:
    """Nested dicts, lists and scalars, with the origin of each.

    Attributes:
        data: the document's content.
        label: how the file is named in messages.
        problems: what is wrong with the text itself, such as a key written twice.
        origins: where each key path was written last.
        folders: the folder of each file that a part comes from, by its label.
    """

    def __init__(self, data: dict[str, Any], label: str) -> None:
        self.data = data
        self.label = label
        self.problems: list[str] = []
        self.origins: dict[KeyPath, str] = {(): label}
        self.folders: dict[str, Path] = {}

    def where(self, path: KeyPath) -> str:
        """Return where `path`, or the nearest thing around it, was written."""
        for end in range(len(path), -1, -1):
            if (origin := self.origins.get(path[:end])) is not None:
                return origin
        return self.label

    def folder(self, path: KeyPath) -> Path:
        """Return what a relative file name at `path` starts from.

        That is the folder of the file it was written in, and the working folder for ``--set``.
        """
        return self.folders.get(self.where(path).rpartition(":")[0], Path.cwd())

    def problem(self, path: KeyPath, message: str) -> str:
        """Return one line: where, which key, what is wrong."""
        key = f" {dotted(path)}" if path else ""
        return f"{self.where(path)}{key}: {' '.join(message.split())}"

    def put(self, path: KeyPath, value: object, origin: str) -> None:
        """Set the value at `path`, making mappings on the way.

        Raises:
            ConfigError: where a step of the path is neither a mapping's key nor a list's index.
        """
        here: Any = self.data
        for depth, key in enumerate(path[:-1]):
            here = self._step(here, path, depth, key)
        last = path[-1]
        if isinstance(here, list):
            items = cast("list[Any]", here)
            items[self._index(items, path, len(path) - 1)] = value
        else:
            here[last] = value
        path = _normalised(self.data, path)
        self.forget(path)
        self.origins[path] = origin

    def forget(self, path: KeyPath) -> None:
        """Forget where `path` and all under it came from."""
        for known in [p for p in self.origins if p[: len(path)] == path]:
            del self.origins[known]

    def forget_below(self, path: KeyPath) -> None:
        """Forget where all under `path` came from, but not `path` itself."""
        for known in [p for p in self.origins if len(p) > len(path) and p[: len(path)] == path]:
            del self.origins[known]

    def merge(
        self, path: KeyPath, value: object, source: KeyPath, written_in: Document
    ) -> dict[str, object]:
        """Merge `value` at `path`, key by key; anything but a mapping replaces what was there.

        Args:
            path: where to.
            value: what.
            source: the path that `value` was written at.
            written_in: the document that it was written in.

        Returns:
            Everything that was set, by dotted path.
        """
        if not isinstance(value, dict) or not value:
            self.put(path, value, written_in.where(source))
            self._adopt(path, source, written_in)
            return {dotted(path): value}
        changes: dict[str, object] = {}
        for key, inner in cast("dict[str, Any]", value).items():
            changes |= self.merge((*path, key), inner, (*source, key), written_in)
        return changes

    def lay_over(self, data: dict[str, Any], written_in: Document, path: KeyPath = ()) -> None:
        """Lay `data` over what is here: mappings key by key, all else replaces.

        A block whose `type` is another one replaces the whole block: options of one plugin are
        none of another's.

        Args:
            data: the part of `written_in` at `path`.
            written_in: the document that it comes from.
            path: where.
        """
        here: Any = self.data
        for key in path:
            here = here[key]
        for key, value in data.items():
            at = (*path, key)
            below: Any = here.get(key)
            both = isinstance(value, dict) and isinstance(below, dict)
            if both and not _other_type(below, value):
                self.origins[at] = written_in.where(at)
                self.lay_over(cast("dict[str, Any]", value), written_in, at)
            else:
                here[key] = value
                self.forget(at)
                self.origins[at] = written_in.where(at)
                self._adopt(at, at, written_in)

    def _adopt(self, path: KeyPath, source: KeyPath, written_in: Document) -> None:
        """Take over where the parts of a value were written."""
        depth = len(source)
        for known, origin in list(written_in.origins.items()):
            if len(known) > depth and known[:depth] == source:
                self.origins[(*path, *known[depth:])] = origin

    def _step(self, here: Any, path: KeyPath, depth: int, key: str | int) -> Any:
        if isinstance(here, list):
            items = cast("list[Any]", here)
            following: Any = items[self._index(items, path, depth)]
        else:
            mapping = cast("dict[str, Any]", here)
            if depth == 1 and path[0] in ("stages", "mixtures") and key not in mapping:
                kind = str(path[0])[:-1]
                raise ConfigError(
                    f"no {kind} '{key}'.{did_you_mean(str(key), mapping)} "
                    f"It has: {', '.join(map(str, mapping)) or 'none'}"
                )
            following = mapping.get(str(key))
            if following is None:
                following = mapping[str(key)] = {}
        if not isinstance(following, dict | list):
            raise ConfigError(
                f"{dotted(path[: depth + 1])} is {following!r}, "
                f"which has no key '{path[depth + 1]}'"
            )
        return cast("Any", following)

    @staticmethod
    def _index(items: list[Any], path: KeyPath, depth: int) -> int:
        key = str(path[depth])
        if not key.isdecimal() or int(key) >= len(items):
            raise ConfigError(
                f"{dotted(path[:depth])} is a list of {len(items)}: "
                f"'{key}' should be an index from 0 to {len(items) - 1}"
            )
        return int(key)


def _other_type(below: Any, above: Any) -> bool:
    return "type" in below and "type" in above and below["type"] != above["type"]


def _normalised(data: Any, path: KeyPath) -> KeyPath:
    """Return `path` with integers where it goes through lists."""
    keys: list[str | int] = []
    here: Any = data
    for key in path:
        if isinstance(here, list):
            keys.append(int(key))
            here = cast("list[Any]", here)[int(key)]
        else:
            keys.append(key)
            here = here[key]
    return tuple(keys)


def parse_document(text: str, label: str) -> Document:
    """Parse a YAML mapping.

    Raises:
        ConfigError: the text is not YAML, or not a mapping; with line and column.
    """
    document = Document({}, label)
    node, loader = _compose(text, label)
    if not isinstance(node, yaml.MappingNode):
        what = "is empty" if node is None else "should be a mapping of keys to values"
        raise ConfigError(f"{label}: {what}")
    document.data = cast("dict[str, Any]", _value(loader, node, document))
    return document


def parse_value(text: str, origin: str) -> object:
    """Parse one YAML value, as after ``--set a.b=``."""
    node, loader = _compose(text, origin)
    if node is None:
        return None
    scratch = Document({}, origin)
    value = cast("object", _value(loader, node, scratch))
    if scratch.problems:
        raise ConfigError(scratch.problems[0])
    return value


def _compose(text: str, label: str) -> tuple[yaml.Node | None, _Loader]:
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        return loader.get_single_node(), loader
    except yaml.MarkedYAMLError as exc:
        raise _does_not_parse(exc, label) from exc
    except yaml.YAMLError as exc:
        what = " ".join(str(exc).split())
        raise ConfigError(f"{label}: does not parse as YAML: {what}") from exc
    except RecursionError as exc:
        raise ConfigError(f"{label}: is nested too deeply") from exc


def _value(loader: _Loader, node: yaml.Node, document: Document) -> Any:
    try:
        return _Walk(loader, document).value(node, ())
    except RecursionError as exc:
        raise ConfigError(f"{document.label}: is nested too deeply") from exc


def _does_not_parse(exc: yaml.MarkedYAMLError, label: str) -> ConfigError:
    mark = exc.problem_mark or exc.context_mark
    place = label
    if mark is not None and not label.startswith("--"):
        place += f":{mark.line + 1}:{mark.column + 1}"
    what = ", ".join(part for part in (exc.context, exc.problem) if part)
    return ConfigError(f"{place}: does not parse as YAML: {' '.join(what.split())}")


class _Walk:
    """Turns nodes into values, and notes the line of every key."""

    def __init__(self, loader: _Loader, document: Document) -> None:
        self.loader = loader
        self.document = document
        self.nodes = 0
        self.open: set[int] = set()

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            raise ConfigError(f"{self.document.label}: has more than {_MAX_NODES} values")
        if id(node) in self.open:
            raise ConfigError(f"{self._line(node)} {dotted(path)}: an alias that contains itself")
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag.endswith(":map"):
                return dict(self._pairs(node, path))
            if isinstance(node, yaml.SequenceNode) and node.tag.endswith(":seq"):
                return [self._item(item, (*path, i)) for i, item in enumerate(node.value)]
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node)
            raise ConfigError(f"{self._line(node)} {dotted(path)}: unknown tag {node.tag}")
        finally:
            self.open.discard(id(node))

    def _item(self, node: yaml.Node, path: KeyPath) -> Any:
        self.document.origins[path] = self._line(node)
        return self.value(node, path)

    def _pairs(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[str, Any]]:
        first_lines: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{self._line(key_node)} {dotted(path)}: a key should be text")
            if key_node.tag.endswith(":merge"):
                continue
            key = self._scalar(key_node)
            line = key_node.start_mark.line + 1
            if key in first_lines:
                full = dotted((*path, key))
                self.document.problems.append(
                    f"{self._line(key_node)} {full}: written twice, "
                    f"first on line {first_lines[key]}"
                )
            first_lines.setdefault(key, line)
        try:
            self.loader.flatten_mapping(node)
        except yaml.MarkedYAMLError as exc:
            raise _does_not_parse(exc, self.document.label) from exc
        for key_node, value_node in node.value:
            key = self._scalar(key_node)
            self.document.origins[(*path, key)] = self._line(key_node)
            yield key, self.value(value_node, (*path, key))

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        try:
            return self.loader.construct_object(node)
        except yaml.MarkedYAMLError as exc:
            raise _does_not_parse(exc, self.document.label) from exc
        except ValueError as exc:
            raise ConfigError(f"{self._line(node)}: {node.value!r}: {exc}") from exc

    def _line(self, node: yaml.Node) -> str:
        if self.document.label.startswith("--"):
            return self.document.label
        return f"{self.document.label}:{node.start_mark.line + 1}"


def read_text(path: Path, label: str) -> str:
    """Return a text file's content, or say in one line why it cannot be read."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{label}: is not UTF-8 text (byte {exc.start})") from exc
    except OSError as exc:
        raise ConfigError(f"{label}: cannot be read: {exc.strerror}") from exc
