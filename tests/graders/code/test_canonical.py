"""Every canonical solution of two benchmarks passes, and the faults put into them do not.

Some faults change nothing. So each mutant is also run apart from the grader, on the inputs of its
problem, and compared with the canonical solution there: the grader has to fail it exactly where it
behaves otherwise.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from palestra.grading.sandbox import Limits, get_sandbox
from palestra_code import plain, run_tests
from palestra_code.compare import equal
from palestra_code.humaneval import HumanEvalEnv
from palestra_code.mutate import mutants
from palestra_code.session import OtherValue, ProgramFailed, Session

SLOW_MACHINE_S = 60.0
WANTED = 500
A_PROBLEM = 3  # mutants of one problem at most


@pytest.mark.slow
def test_every_humaneval_solution_passes(humaneval: Path) -> None:
    env = HumanEvalEnv(str(humaneval), timeout_s=SLOW_MACHINE_S)
    tasks = env.tasks("test")
    assert len(tasks) == 164
    wrong = {}
    for task in tasks:
        completion = env.reference_completion(task)
        assert completion is not None
        score = env.grade(task, completion)
        if score.value != 1.0:
            wrong[task.id] = score
    assert not wrong


@pytest.mark.slow
def test_every_mbpp_solution_passes(mbpp: list[dict[str, Any]]) -> None:
    wrong = {}
    for row in mbpp:
        score = run_tests(row["code"], cases_of(row), timeout_s=SLOW_MACHINE_S)
        if score.value != 1.0:
            wrong[row["task_id"]] = score
    assert not wrong


def cases_of(row: dict[str, Any]) -> list[dict[str, object]]:
    imports = "\n".join(row["test_imports"])
    return [{"assert": f"{imports}\n{each}"} for each in row["test_list"]]


def calls_of(row: dict[str, Any]) -> tuple[str, list[list[Any]]] | None:
    """The function and the arguments of ``assert f(literals) == literal``; None for other forms."""
    name, calls = "", []
    for text in row["test_list"]:
        test = ast.parse(text).body[0]
        if not (isinstance(test, ast.Assert) and isinstance(test.test, ast.Compare)):
            return None
        left = test.test.left
        if not (isinstance(left, ast.Call) and isinstance(left.func, ast.Name)):
            return None
        try:
            calls.append([ast.literal_eval(each) for each in left.args])
            ast.literal_eval(test.test.comparators[0])
        except ValueError:
            return None
        name = left.func.id
    return name, calls


def behaviour(program: str, name: str, calls: list[list[Any]]) -> list[Any]:
    """What a program does on each call: a value, or that it fails."""
    session = Session(get_sandbox("local"), Limits(timeout_s=5.0))
    seen: list[Any] = []
    try:
        session.begin()
        session.load(program)
        session.open_case()
        for args in calls:
            try:
                packed = plain.dumps(tuple(args)), plain.dumps({})
                seen.append(("value", plain.loads(session.call(name, *packed))))
            except OtherValue as exc:
                seen.append(("other", exc.true))
            except ProgramFailed:
                seen.append(("failed", None))
                if not session.usable:
                    break
    except ProgramFailed:
        pass
    finally:
        session.close()
    return seen + [("failed", None)] * (len(calls) - len(seen))


def same_behaviour(a: list[Any], b: list[Any]) -> bool:
    return all(x[0] == y[0] and equal(x[1], y[1]) for x, y in zip(a, b, strict=True))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_hundred_mutants_fail(mbpp: list[dict[str, Any]]) -> None:
    """Differential: a mutant fails its tests exactly where it behaves otherwise on their inputs."""
    killed, equivalent, wrong = 0, 0, []
    for row in mbpp:
        found = calls_of(row)
        if found is None:
            continue
        name, calls = found
        right = behaviour(row["code"], name, calls)
        tests = cases_of(row)
        for mutant in spread(list(mutants(row["code"])), A_PROBLEM):
            differs = not same_behaviour(behaviour(mutant.source, name, calls), right)
            score = run_tests(mutant.source, tests, timeout_s=5.0)
            if score.value != (0.0 if differs else 1.0):
                wrong.append((row["task_id"], mutant.fault, mutant.line, score))
            killed += differs
            equivalent += not differs
        if killed >= WANTED:
            break
    assert not wrong, wrong[:5]
    assert killed >= WANTED, json.dumps({"killed": killed, "equivalent": equivalent})


def spread(found: list[Any], count: int) -> list[Any]:
    step = max(1, len(found) // count)
    return found[::step][:count]
