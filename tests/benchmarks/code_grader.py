"""How fast the code grader is, and whether it is right: HumanEval, MBPP and the catalogue.

    python tests/benchmarks/code_grader.py [--data ../shared/data] [--by bubblewrap] [--attacks]

Each program runs in a sandbox of its own, one after the other. The bounds are the project's own;
nothing is asserted, because a loaded machine would fail it: the load is printed beside.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

from palestra.grading import sandbox as sandboxes
from palestra_code import run_tests
from palestra_code.humaneval import HumanEvalEnv
from palestra_sandboxes.local import LocalSandbox

ROOT = Path(__file__).parents[2]
ATTACKS = ROOT / "tests" / "graders" / "code" / "attacks"


def humaneval(path: Path) -> tuple[list[float], int]:
    env = HumanEvalEnv(str(path), timeout_s=60.0)
    taken, passed = [], 0
    for task in env.tasks("test"):
        completion = env.reference_completion(task)
        assert completion is not None
        begun = time.perf_counter()
        passed += env.grade(task, completion).value == 1.0
        taken.append(time.perf_counter() - begun)
    return taken, passed


def mbpp(path: Path) -> tuple[list[float], int]:
    taken, passed = [], 0
    for row in json.loads(path.read_text(encoding="utf-8")):
        imports = "\n".join(row["test_imports"])
        tests = [{"assert": f"{imports}\n{each}"} for each in row["test_list"]]
        begun = time.perf_counter()
        passed += run_tests(row["code"], tests, timeout_s=60.0).value == 1.0
        taken.append(time.perf_counter() - begun)
    return taken, passed


def attacks() -> tuple[list[float], int]:
    tests = [
        {"check": "def check(c):\n    assert c(3) == ['quince', 3]", "entry_point": "solve"},
        {"stdin": "3\n", "stdout": "quince\n3\n"},
    ]
    taken, paid = [], 0
    for path in sorted(ATTACKS.glob("*.py")):
        program = path.read_text(encoding="utf-8").replace("@CANARY@", "/nowhere/canary")
        program = program.replace("@PORT@", "9").replace("@TOKEN@", "quince")
        program += "\n# solve\n"  # a program without the name would not be run at all
        begun = time.perf_counter()
        paid += run_tests(program, tests, timeout_s=1.0, reward="fraction").value != 0.0
        taken.append(time.perf_counter() - begun)
    return taken, paid


def row(name: str, taken: list[float], right: str, bound: str) -> None:
    ordered = sorted(taken)
    print(
        f"{name:<28}{len(taken):>6}{right:>12}{sum(taken):>9.1f}"
        f"{statistics.median(taken) * 1000:>10.0f}{ordered[int(len(ordered) * 0.9)] * 1000:>8.0f}"
        f"  {bound}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--by", choices=("bubblewrap", "namespaces"))
    parser.add_argument("--attacks", action="store_true", help="the catalogue too (minutes)")
    given = parser.parse_args()
    local = LocalSandbox(by=given.by)
    sandboxes._open["local"] = local
    load = os.getloadavg()[0]
    print(f"{local.by}, {os.cpu_count()} cores, load {load:.1f}, Python {sys.version.split()[0]}")
    print(f"{'':<28}{'n':>6}{'right':>12}{'s':>9}{'median ms':>10}{'p90':>8}  bound")
    if (path := given.data / "humaneval.jsonl").is_file():
        taken, passed = humaneval(path)
        row("HumanEval, canonical", taken, f"{passed} pass", "15 s, 40 ms")
    if (path := given.data / "mbpp_sanitized.json").is_file():
        taken, passed = mbpp(path)
        row("MBPP, canonical", taken, f"{passed} pass", "")
    if given.attacks:
        taken, paid = attacks()
        row("attacks", taken, f"{paid} paid", "none is paid")


if __name__ == "__main__":
    main()
