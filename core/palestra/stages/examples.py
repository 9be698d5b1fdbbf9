"""The examples of supervised training, from a stage's output, a file, or an environment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from palestra.envs import Message
from palestra.errors import ConfigError, DataError, did_you_mean
from palestra.mixture.config import SourceConfig
from palestra.mixture.sources import Source
from palestra.plugins.registry import Registry
from palestra.seeding import derive_seed, rng
from palestra.stages.data_config import DataConfig


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation that waits for the policy, and what it should say."""

    messages: Sequence[Message]
    completion: str


def load_examples(
    items: Sequence[DataConfig],
    made: Mapping[str, Path],
    registry: Registry,
    seed: int,
    where: str,
) -> list[Example]:
    """Return the examples of all `items`, each cut to its limit and repeated as it says.

    Raises:
        DataError: a file without the columns, or without rows.
    """
    out: list[Example] = []
    for number, item in enumerate(items):
        if item.from_stage is not None:
            examples = _from_file(made[item.from_stage], "messages", "completion")
        elif item.file is not None:
            path = Path(item.file).expanduser()
            examples = _from_file(path, item.prompt_column, item.completion_column)
        else:
            examples = _from_env(item, registry, seed, f"{where}.data.{number}")
        if item.limit is not None:
            order = rng(seed, "limit", where, number).permutation(len(examples))
            examples = [examples[int(i)] for i in order[: item.limit]]
        out += examples * item.repeat
    return out


def _from_env(item: DataConfig, registry: Registry, seed: int, where: str) -> list[Example]:
    """Return reference completions of distinct tasks (a task that comes again is skipped)."""
    assert item.env is not None
    assert item.count is not None
    config = SourceConfig(
        env=item.env,
        kwargs=item.kwargs,
        split=item.split,
        difficulty=item.difficulty,
        language=item.language,
    )
    source = Source(config, registry, where)
    env = source.env()
    seen: set[str] = set()
    out: list[Example] = []
    for number in range(20 * item.count):
        if len(out) == item.count:
            break
        _, info = env.reset(seed=derive_seed(seed, where, number), options=source.options)
        task = env.task
        assert task is not None
        if info["prompt_hash"] in seen:
            continue
        seen.add(info["prompt_hash"])
        completion = env.reference_completion(task)
        if completion is None:
            raise ConfigError(f"{where}: {item.env} has no reference completions")
        out.append(Example(task.messages, completion))
    return out


def _from_file(path: Path, prompt: str, completion: str) -> list[Example]:
    rows = read_data_rows(path)
    out: list[Example] = []
    for number, row in enumerate(rows, start=1):
        for column in (prompt, completion):
            if row.get(column) is None:
                raise DataError(
                    f"{path}:{number}: no field '{column}'.{did_you_mean(column, row)} "
                    f"The row has: {', '.join(row)}"
                )
        out.append(Example(as_messages(row[prompt]), str(row[completion])))
    if not out:
        raise DataError(f"{path}: no rows")
    return out


def read_data_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a .jsonl or .parquet file.

    Raises:
        ConfigError: there is no such file.
        DataError: a line is no JSON object.
    """
    if not path.is_file():
        raise ConfigError(f"no data file {path}")
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return cast("list[dict[str, Any]]", pq.read_table(path).to_pylist())
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as exc:
            raise DataError(f"{path}:{number}: not JSON: {exc.msg}") from exc
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: expected an object")
        rows.append(cast("dict[str, Any]", row))
    return rows


def as_messages(prompt: object) -> Sequence[Message]:
    """Read a prompt: a list of messages, the JSON of one, or the text of a user's turn."""
    if isinstance(prompt, str) and prompt.startswith('[{"role"'):
        prompt = json.loads(prompt)
    if isinstance(prompt, list):
        return cast("list[Message]", prompt)
    return [{"role": "user", "content": str(prompt)}]
