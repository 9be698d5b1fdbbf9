"""Rows of questions and answers: a local JSONL, CSV or Parquet file, or a data set of the Hub."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

from palestra.errors import ConfigError, DataError, did_you_mean

Row = Mapping[str, object]
SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


def read_file(
    path: Path, columns: Sequence[str], limit: int | None = None
) -> Iterator[tuple[int, Row]]:
    """Yield (row number, row) of a local file; its ending says what it is, JSONL by default.

    Raises:
        ConfigError: there is no such file.
        DataError: what it holds is not what its ending says, with file and row number.
    """
    if not path.is_file():
        raise ConfigError(f"no file {path}")
    readers = {".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
    read = readers.get(path.suffix.lower())
    try:
        yield from islice(read(path) if read else _jsonl(path, columns), limit)
    except UnicodeDecodeError as exc:
        raise DataError(
            f"{path}: not UTF-8: byte {exc.start} is 0x{exc.object[exc.start]:02x}"
        ) from exc


def read_hub(
    dataset: str, split: str, config: str | None = None, limit: int | None = None
) -> Iterator[tuple[int, Row]]:
    """Yield (row number, row) of a split of a data set of the Hugging Face Hub, or of its cache.

    Raises:
        ConfigError: `datasets` is not installed, or the data set cannot be had.
    """
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError as exc:
        raise ConfigError(
            f"{dataset}: reading the Hub needs datasets: pip install datasets; "
            "or give a local file: path=FILE.jsonl"
        ) from exc
    try:
        rows: Iterable[Any] = datasets.load_dataset(dataset, config, split=split)
    except Exception as exc:  # the library raises what its parts raise: offline, gone, gated, moved
        line = (str(exc).strip() or type(exc).__name__).splitlines()[0]
        raise ConfigError(
            f"{dataset}, split '{split}': {line}. Offline? Give a local file: path=FILE.jsonl"
        ) from exc
    yield from enumerate(islice(rows, limit), start=1)


def field(row: Row, name: str, where: str) -> str:
    """Return a field of a row as text.

    Raises:
        DataError: the row has none, or an empty one; the text says where.
    """
    value = row.get(name)
    if value is None or not str(value).strip():
        what = "no field" if value is None else "nothing in field"
        raise DataError(
            f"{where}: {what} '{name}'.{did_you_mean(name, row) if value is None else ''} "
            f"The row has: {', '.join(map(str, row))}"
        )
    return str(value).strip()


def _jsonl(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError, ValueError) as exc:
                message = exc.msg if isinstance(exc, json.JSONDecodeError) else "beyond reading"
                raise DataError(f"{path}:{number}: not JSON: {message}") from exc
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: expected an object with {', '.join(columns)}")
            yield number, cast("Row", row)


def _csv(path: Path) -> Iterator[tuple[int, Row]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        try:
            for row in reader:
                yield reader.line_num, {k: v for k, v in row.items() if isinstance(k, str)}
        except csv.Error as exc:
            raise DataError(f"{path}:{reader.line_num}: not CSV: {exc}") from exc


def _parquet(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as exc:
        raise ConfigError(f"{path}: Parquet needs pyarrow: pip install 'palestra[train]'") from exc
    try:
        batches = parquet.ParquetFile(path).iter_batches()
        rows = (row for batch in batches for row in batch.to_pylist())
        yield from enumerate(rows, start=1)
    except (OSError, ValueError) as exc:
        raise DataError(f"{path}: not a Parquet file: {exc}") from exc
