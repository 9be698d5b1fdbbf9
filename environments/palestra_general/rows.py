"""Rows of a local file (JSONL, CSV, Parquet) or of a dataset of the Hugging Face Hub."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

from palestra.errors import ConfigError, DataError, did_you_mean

Row = dict[str, object]


def rows(
    path: str | None,
    hub: str | None,
    columns: tuple[str, ...],
    *,
    config: str | None = None,
    hub_split: str = "test",
    limit: int | None = None,
    what: str,
) -> list[tuple[str, Row]]:
    """Return the rows with where each stands, at least one.

    Args:
        path: a local file; its ending says what it is.
        hub: else the id of a dataset of the Hub.
        columns: what every row must have.
        config: the dataset's configuration.
        hub_split: the dataset's split.
        limit: read at most so many rows.
        what: the environment, for errors.

    Raises:
        ConfigError: neither or both of `path` and `hub`, no such file, or a package is missing.
        DataError: a row without a column, or no row.
    """
    if (path is None) == (hub is None):
        raise ConfigError(f"{what}: give 'path', a local file, or 'hub', a dataset's id")
    source = _hub(str(hub), config, hub_split) if path is None else _file(path, what)
    found: list[tuple[str, Row]] = []
    for where, row in islice(source, limit):
        for column in columns:
            if row.get(column) in (None, ""):
                raise DataError(
                    f"{where}: no field '{column}'.{did_you_mean(column, row)} "
                    f"The row has: {', '.join(map(str, row))}"
                )
        found.append((where, row))
    if not found:
        raise DataError(f"{path or hub}: no rows")
    return found


def _file(path: str, what: str) -> Iterator[tuple[str, Row]]:
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(f"{what}: no file {file}")
    readers = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise ConfigError(f"{file}: its ending is none of {', '.join(readers)}")
    return reader(file)


def _jsonl(file: Path) -> Iterator[tuple[str, Row]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except json.JSONDecodeError as exc:
                raise DataError(f"{file}:{number}: not JSON: {exc.msg}") from exc
            except UnicodeDecodeError as exc:
                raise DataError(f"{file}:{number}: not UTF-8: {exc.reason}") from exc
            if not isinstance(row, dict):
                raise DataError(f"{file}:{number}: expected an object")
            yield f"{file}:{number}", cast("Row", row)


def _csv(file: Path) -> Iterator[tuple[str, Row]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        for row in reader:
            yield f"{file}:{reader.line_num}", {str(k): v for k, v in row.items()}


def _parquet(file: Path) -> Iterator[tuple[str, Row]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as exc:
        raise ConfigError(f"{file}: Parquet needs pyarrow: pip install pyarrow") from exc
    table = cast("Any", parquet.read_table(file))
    return _numbered(str(file), table.to_pylist())


def _hub(hub: str, config: str | None, split: str) -> Iterator[tuple[str, Row]]:
    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ImportError as exc:
        raise ConfigError(f"{hub}: datasets of the Hub need: pip install datasets") from exc
    try:
        loaded = cast("Any", datasets).load_dataset(hub, config, split=split)
    except Exception as exc:  # of the network, the Hub, or the dataset
        raise DataError(f"{hub}: cannot be loaded: {type(exc).__name__}: {exc}") from exc
    return _numbered(hub, loaded)


def _numbered(where: str, found: Iterable[Any]) -> Iterator[tuple[str, Row]]:
    for number, row in enumerate(found, start=1):
        yield f"{where}: row {number}", cast("Row", row)
