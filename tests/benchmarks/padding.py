"""How much of a supervised micro-batch is padding, with rows of one example and with packed rows.

    python tests/benchmarks/padding.py [--examples FILE] [--batches 16 64 128] [--budgets 2048 8192]

Lengths are those of GSM8K's training examples, at three characters a token, where the file is
there, else a log-normal's of like spread. Prints a table, asserts nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from palestra.learner.packed import first_fit
from palestra.learner.packing import micro_batches

GSM8K = Path(__file__).parents[3] / "shared" / "data" / "gsm8k_train.jsonl"
STEPS = 50


def lengths(file: Path) -> list[int]:
    """Return tokens of examples, about."""
    if not file.is_file():
        return np.random.default_rng(0).lognormal(5.1, 0.35, 4000).astype(int).tolist()
    rows = [json.loads(line) for line in file.open(encoding="utf-8")]
    return [len(row["question"] + row["answer"]) // 3 for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=Path, default=GSM8K)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--budgets", type=int, nargs="+", default=[2048, 8192])
    given = parser.parse_args()
    known = lengths(given.examples)
    table = Table("examples a step", "token budget", "padding", "packed", "micro-batches", "packed")
    for batch in given.batches:
        for budget in given.budgets:
            random = np.random.default_rng(0)
            tokens, plain, full, counts = 0, 0, 0, [0, 0]
            for _ in range(STEPS):
                own = random.choice(known, batch).tolist()
                alone = [[[i] for i in micro] for micro in micro_batches(own, budget)]
                joined = first_fit(own, budget)
                plain, full = plain + cells(own, alone), full + cells(own, joined)
                tokens += sum(own)
                counts = [counts[0] + len(alone), counts[1] + len(joined)]
            table.add_row(
                *(str(batch), str(budget), f"{1 - tokens / plain:.0%}", f"{1 - tokens / full:.0%}"),
                *(f"{count / STEPS:.1f}" for count in counts),
            )
    Console().print(table)


def cells(own: list[int], micros: list[list[list[int]]]) -> int:
    """Return rows x width, over all micro-batches."""
    return sum(len(rows) * max(own[i] for row in rows for i in row) for rows in micros)


if __name__ == "__main__":
    main()
