"""A recipe's layers: the files it `extends`, its own keys, and its `when_model` defaults.

The result is one `Document` in which every key still knows the file and line that it came from.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from palestra.errors import ConfigError, did_you_mean
from palestra.recipe.document import Document, KeyPath, parse_document, read_text

MODEL_PATTERNS = ("tiny", "other")
OWN_KEYS = ("name", "description", "extends", "when_model")
"""Keys of a file that those who extend it do not inherit as they stand."""

Find = Callable[[str], Path | None]
"""Returns the file of a shipped recipe, by its name."""


class Layers:
    """Reads a recipe's file and all that it extends, and lays them over each other.

    Args:
        find: finds shipped recipes by name.
        model: the model that ``--set`` asks for, if it does.
    """

    def __init__(self, find: Find, model: object = None) -> None:
        self._find = find
        self._model = model
        self.problems: list[str] = []
        self.defaults: dict[str, object] = {}

    def read(self, path: Path, label: str) -> Document:
        """Return the whole recipe of the file at `path`.

        Raises:
            ConfigError: a file does not parse, or files extend each other in a circle.
        """
        chain = self._chain(path, label, ())
        model = self._model
        if model is None:
            model = next((d.data["model"] for d in reversed(chain) if "model" in d.data), None)
        whole = Document({}, label)
        for layer in chain:
            self.problems += layer.problems
            own = {k: v for k, v in layer.data.items() if k not in OWN_KEYS or layer is chain[-1]}
            own.pop("extends", None)
            blocks = own.pop("when_model", layer.data.get("when_model"))
            whole.folders |= layer.folders
            whole.lay_over(own, layer)
            self._apply_when_model(whole, layer, blocks, model)
        return whole

    def _chain(self, path: Path, label: str, below: Sequence[tuple[Path, str]]) -> list[Document]:
        """Return the file's bases, the deepest first, and the file itself last."""
        where = path.resolve()
        document = parse_document(read_text(path, label), label)
        document.folders[label] = where.parent
        bases = document.data.get("extends")
        if bases is None:
            return [document]
        names: list[object] = cast("list[object]", bases) if isinstance(bases, list) else [bases]
        chain: list[Document] = []
        here = (*below, (where, label))
        for index, name in enumerate(names):
            at: KeyPath = ("extends", index) if isinstance(bases, list) else ("extends",)
            if not isinstance(name, str) or not name:
                message = f"should be a recipe's name or file, not {name!r}"
                raise ConfigError(document.problem(at, message))
            base, base_label = self._base(name, document, at)
            if base.resolve() in [p for p, _ in here]:
                circle = " > ".join([*(text for _, text in here), base_label])
                raise ConfigError(document.problem(at, f"recipes extend each other: {circle}"))
            chain += self._chain(base, base_label, here)
        return [*chain, document]

    def _base(self, name: str, document: Document, at: KeyPath) -> tuple[Path, str]:
        """Return the file that `name` means, and what messages call it."""
        is_name = os.sep not in name and not name.endswith((".yaml", ".yml"))
        if is_name and (shipped := self._find(name)) is not None:
            return shipped, f"{name} (shipped)"
        path = document.folders[document.label] / Path(name).expanduser()
        if path.is_file():
            return path, os.path.normpath(os.path.join(os.path.dirname(document.label), name))
        folder = document.folders[document.label]
        files = [file.name for file in folder.glob("*.y*ml") if file.name != document.label]
        near = did_you_mean(name, files)
        kind = "no shipped recipe, and no file" if is_name else "no file"
        raise ConfigError(document.problem(at, f"{kind} {path}.{near} See: palestra recipes ls"))

    def _apply_when_model(
        self, whole: Document, layer: Document, blocks: Any, model: object
    ) -> None:
        """Merge the part of a layer's `when_model` that the model asks for."""
        if blocks is None:
            return
        if not isinstance(blocks, dict):
            self.problems.append(layer.problem(("when_model",), "should be a mapping"))
            return
        table = cast("dict[str, Any]", blocks)
        for key in table:
            if key not in MODEL_PATTERNS:
                hint = f"unknown key.{did_you_mean(str(key), MODEL_PATTERNS)} It takes: tiny, other"
                self.problems.append(layer.problem(("when_model", key), hint))
        pattern = "tiny" if model == "tiny" else "other"
        block = table.get(pattern)
        if block is None:
            return
        source: KeyPath = ("when_model", pattern)
        if not isinstance(block, dict):
            self.problems.append(layer.problem(source, "should be a mapping"))
            return
        for key, value in cast("dict[str, Any]", block).items():
            path = tuple(str(key).split("."))
            try:
                self.defaults |= whole.merge(path, copy.deepcopy(value), (*source, key), layer)
            except ConfigError as exc:
                self.problems.append(layer.problem((*source, key), str(exc)))
