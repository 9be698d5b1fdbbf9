"""Rows of a JSON or JSONL file, and what is wrong with one: the file, the row, the field."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from palestra.errors import ConfigError, DataError, did_you_mean
from palestra_code.cases import read_cases


def read_rows(env: str, path: str | Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the rows of a file, each with its address for errors.

    Raises:
        ConfigError: there is no such file.
        DataError: it is not UTF-8, not JSON, or holds no rows.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(f"{env}: no file {file}")
    try:
        data = file.read_bytes()
        text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode("utf-8")
    except (UnicodeDecodeError, gzip.BadGzipFile) as exc:
        raise DataError(f"{file}: not UTF-8 text: {exc}") from exc
    rows = list(_parsed(file, text))
    if not rows:
        raise DataError(f"{file}: no rows")
    for where, row in rows:
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected an object")
    return rows


def field(where: str, row: Mapping[str, Any], name: str) -> Any:
    """Return a field of a row.

    Raises:
        DataError: it has none; says what it has.
    """
    if row.get(name) is None:
        hint = did_you_mean(name, row)
        raise DataError(
            f"{where}: no field '{name}'.{hint} The row has: {', '.join(map(str, row))}"
        )
    return row[name]


def checked_tests(where: str, tests: Any) -> list[dict[str, object]]:
    """Return tests that `run_tests` will take; they may also come as JSON text.

    Raises:
        DataError: they are none.
    """
    if isinstance(tests, str):
        try:
            tests = json.loads(tests)
        except json.JSONDecodeError as exc:
            raise DataError(f"{where}: its tests are not JSON: {exc.msg}") from exc
    if not isinstance(tests, list) or not all(
        isinstance(test, dict) for test in cast("list[Any]", tests)
    ):
        raise DataError(f"{where}: its tests are no list of objects")
    listed = cast("list[dict[str, object]]", tests)
    try:
        read_cases(listed)
    except DataError as exc:
        raise DataError(f"{where}: {exc}") from exc
    return listed


def _parsed(file: Path, text: str) -> Iterator[tuple[str, Any]]:
    if text.lstrip().startswith("["):
        try:
            rows = json.loads(text)
        except json.JSONDecodeError as exc:
            raise DataError(f"{file}:{exc.lineno}: not JSON: {exc.msg}") from exc
        yield from ((f"{file}: row {number}", row) for number, row in enumerate(rows, start=1))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"{file}:{number}", json.loads(line)
            except json.JSONDecodeError as exc:
                raise DataError(f"{file}:{number}: not JSON: {exc.msg}") from exc
