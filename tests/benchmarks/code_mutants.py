"""Wrong programs that a data set's own tests let pass: the false passes that no grader can mend.

    PYTHONPATH=. python tests/benchmarks/code_mutants.py [--data ../shared/data] [--mutants 600]

Faults are put into MBPP's solutions. A mutant that behaves like the solution on the inputs of its
problem's tests passes them; whether it is wrong all the same is asked on inputs that are made from
theirs, one small change each. Prints a table, and each such mutant with ``--list``.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tests.graders.code.test_canonical import (
    A_PROBLEM,
    behaviour,
    calls_of,
    same_behaviour,
    spread,
)

from palestra.seeding import rng
from palestra_code.mutate import mutants

ROOT = Path(__file__).parents[2]
INPUTS = 24  # made for each problem


def changed(value: Any, generator: np.random.Generator) -> Any:
    """Return a value of the same type that differs a little."""
    pick = int(generator.integers(4))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return [value + 1, value - 1, value * 2, 0][pick]
    if isinstance(value, float):
        return [value + 0.5, -value, value * 2, 0.0][pick]
    if isinstance(value, str | list | tuple) and value:
        at = int(generator.integers(len(value)))
        if pick == 3 and not isinstance(value, str):
            inner = [*value[:at], changed(value[at], generator), *value[at + 1 :]]
            return type(value)(inner)
        return [value[:at] + value[at + 1 :], value + value[:1], value[::-1], value[:at]][pick]
    return value


def made_inputs(calls: list[list[Any]], generator: np.random.Generator) -> Iterator[list[Any]]:
    """Yield `INPUTS` argument lists, each a test's with one argument changed."""
    for number in range(INPUTS):
        arguments = copy.deepcopy(calls[number % len(calls)])
        if arguments:
            at = int(generator.integers(len(arguments)))
            arguments[at] = changed(arguments[at], generator)
        yield arguments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--mutants", type=int, default=600)
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    rows = json.loads((given.data / "mbpp_sanitized.json").read_text(encoding="utf-8"))
    total, failed, equal, missed = 0, 0, 0, []
    for row in rows:
        found = calls_of(row)
        if found is None or total >= given.mutants:
            continue
        name, calls = found
        made = list(made_inputs(calls, rng(0, "inputs", str(row["task_id"]))))
        right, right_made = (behaviour(row["code"], name, each) for each in (calls, made))
        asked = [i for i, seen in enumerate(right_made) if seen[0] == "value"]
        for mutant in spread(list(mutants(row["code"])), A_PROBLEM):
            total += 1
            if not same_behaviour(behaviour(mutant.source, name, calls), right):
                failed += 1
                continue
            theirs = behaviour(mutant.source, name, [made[i] for i in asked])
            if same_behaviour(theirs, [right_made[i] for i in asked]):
                equal += 1
            else:
                missed.append((row["task_id"], mutant.line, mutant.fault))
    print(f"mutants {total}: failed by the data's tests {failed}, passed by them {total - failed}")
    print(f"  of those: as the solution on {INPUTS} made inputs too {equal}, wrong {len(missed)}")
    print(f"  false passes by the data: {len(missed)} of {failed + len(missed)} wrong programs")
    for line in missed if given.list else ():
        print("  task {}, line {}: {}".format(*line))


if __name__ == "__main__":
    main()
