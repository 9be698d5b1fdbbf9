"""A set of examples on disk: Parquet that names its version, and a card that says what it is."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from palestra.errors import DataError

CARD = "README.md"
SCHEMA = 1
_KEY = b"palestra"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """Where a set of examples comes from.

    Attributes:
        recipe: name of the recipe.
        stage: the stage that made it.
        seed: of the run.
        model: the weights that were sampled from, as the recipe has them.
        lineage: hash of all that decides what the stage makes, its ancestors included.
        version: hash of the examples: equal sets have equal versions.
        sampled: completions made.
        taken: completions that each filter took, in their order.
        kept: examples in the set.
        filters: what the stage was told.
        schema: of this record.
    """

    recipe: str
    stage: str
    seed: int
    model: str
    lineage: str
    sampled: int
    kept: int
    version: str = ""
    taken: Mapping[str, int] = field(default_factory=dict[str, int])
    filters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    schema: int = SCHEMA


def version_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the version of a set: 12 hex digits of the SHA-256 of its rows in their order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()[:12]


def write_dataset(rows: Sequence[dict[str, Any]], file: Path, facts: DataFacts) -> None:
    """Write the examples with their facts, whole or not at all, and the card beside them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(rows))
    table = table.replace_schema_metadata({_KEY: json.dumps(asdict(facts))})
    (file.parent / CARD).write_text(card(rows, file.name, facts), encoding="utf-8")
    temporary = file.with_suffix(".tmp")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(file)


def read_dataset(file: Path) -> tuple[list[dict[str, Any]], DataFacts]:
    """Return the examples of a set and its facts.

    Raises:
        DataError: the file is damaged, or no set that a stage made.
    """
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    try:
        table = pq.read_table(file)
        written = (table.schema.metadata or {}).get(_KEY)
        if written is None:
            raise DataError(f"{file}: not made by a stage, or by an older version: no record in it")
        return table.to_pylist(), DataFacts(**json.loads(written))
    except (ArrowException, OSError, TypeError, ValueError) as exc:
        why = " ".join(str(exc).split())
        raise DataError(f"{file}: cannot be read: {why}") from exc


def card(rows: Sequence[Mapping[str, Any]], name: str, facts: DataFacts) -> str:
    """Return the dataset card: what is in the set, how it was filtered, where it comes from."""
    lengths = sorted(len(str(row["completion"]).split()) for row in rows)
    lines = [
        "---",
        "configs:",
        "- config_name: default",
        f"  data_files: {name}",
        "tags: [palestra, sft]",
        "---",
        "",
        f"# {facts.recipe}: {facts.stage}",
        "",
        f"{facts.kept} examples, sampled from `{facts.model}` and kept by the filters below.",
        "",
        f"- version `{facts.version}` (hash of the examples)",
        f"- lineage `{facts.lineage}` (hash of all that decides them), seed {facts.seed}",
        f"- {facts.sampled} completions sampled, {facts.kept} kept",
        f"- completions of {lengths[0]} to {lengths[-1]} words, median {lengths[len(lengths) // 2]}"
        if lengths
        else "- no completions",
        "",
        "## Filters",
        "",
        "| filter | took |",
        "| --- | ---: |",
        *(f"| {filter_name} | {count} |" for filter_name, count in facts.taken.items()),
        "",
        "```json",
        json.dumps(facts.filters, indent=1, sort_keys=True),
        "```",
        "",
        "## Sources",
        "",
        "| environment | language | examples |",
        "| --- | --- | ---: |",
    ]
    counted = Counter((str(r.get("env_id")), str(r.get("language") or "–")) for r in rows)
    lines += [f"| {env} | {language} | {n} |" for (env, language), n in sorted(counted.items())]
    lines += [
        "",
        "## Columns",
        "",
        "`messages` (JSON) and `completion` are what a model is trained on; `prompt` is the last "
        "message. `env_id`, `task_id`, `prompt_hash`, `language` and `reward` say where an example "
        "comes from. Completions are a model's: treat them as untrusted text.",
        "",
    ]
    return "\n".join(lines)
