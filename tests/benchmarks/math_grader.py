"""The math grader against math-verify: verdicts on one table, agreement on data, and speed.

python tests/benchmarks/math_grader.py [--disagreements]

The data (GSM8K, SVAMP, AIME, AMC, CMATH) is read from ``../shared/data`` where that exists.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

from math_verify import parse, verify
from tests.graders.math.table import pairs

from palestra_math import grade, same_answer

SHARED = Path(__file__).parents[3] / "shared" / "data"
FILES = {
    "gsm8k_test": "answer",
    "svamp_test": "Answer",
    "aime24_test": "answer",
    "amc23_test": "answer",
    "cmath_zh_test": "answer",
}
RENDERINGS: tuple[Callable[[str], str], ...] = (
    lambda a: f"<think>\nWe add and multiply.\n</think>\n<answer>{a}</answer>",
    lambda a: f"First 3 + 4 = 7. Therefore the result is $\\boxed{{{a}}}$.",
    lambda a: f"So in the end she has {a} of them.\nThe answer is {a}.",
    lambda a: f"<think>Half of it is 7.</think>\nIt follows that $x = 7$.\n\\[\\boxed{{{a}}}\\]",
    lambda a: f"The final answer is ${a}$. I hope it is correct.",
)
Verdict = Callable[[str, str], bool]


def by_math_verify(reference: str, completion: str) -> bool:
    """Grade as math-verify's users do, with R1's tags taken off and its own alarm set."""
    text = completion.rpartition("</think>")[2]
    text = text.replace("<answer>", "\\boxed{").replace("</answer>", "}")
    gold, given = parse(f"\\boxed{{{reference}}}"), parse(text)
    return bool(gold and given and verify(gold, given))


def ours(reference: str, completion: str) -> bool:
    """Grade by `palestra_math.grade`."""
    return grade(reference, completion).value == 1.0


def generously(reference: str, answer: str, truth: bool) -> bool:
    """Return math-verify's verdict on a pair: of three ways to hand it over, the one that is right.

    Its users choose between plain text, ``$...$`` and a box; whichever suits it best counts.
    """
    said: list[bool] = []
    for form in ("{}", "${}$", "\\boxed{{{}}}"):
        gold, given = parse(form.format(reference)), parse(form.format(answer))
        said.append(bool(gold and given and verify(gold, given)))
    return truth if truth in said else not truth


def rates(verdicts: list[bool]) -> tuple[int, int, int, int]:
    """Return false passes, pairs that differ, false fails, pairs that are the same."""
    said = [(p.same, v) for p, v in zip(pairs(), verdicts, strict=True)]
    passes = sum(verdict and not truth for truth, verdict in said)
    fails = sum(truth and not verdict for truth, verdict in said)
    return passes, sum(not t for t, _ in said), fails, sum(t for t, _ in said)


def answers(file: str, column: str) -> list[str]:
    """Return the final answers of a data set, none where it is not here."""
    path = SHARED / f"{file}.jsonl"
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return [str(row[column]).rpartition("####")[2].strip() for row in rows]


def completions() -> list[tuple[str, str, bool]]:
    """Return (reference, completion, whether it is right): every answer in a rendering, and wrong."""
    found: list[tuple[str, str, bool]] = []
    for file, column in FILES.items():
        for number, answer in enumerate(answers(file, column)):
            render = RENDERINGS[number % len(RENDERINGS)]
            found.append((answer, render(answer), True))
            found.append((answer, render(one_digit_off(answer)), False))
    return found


def one_digit_off(answer: str) -> str:
    """Return `answer` with its last digit changed: before the point, where there is one."""
    at = next(i for i in range(answer.find("."), -len(answer) - 1, -1) if answer[i].isdigit())
    at %= len(answer)
    return answer[:at] + str((int(answer[at]) + 1) % 10) + answer[at + 1 :]


def table(name: str, verdicts: list[bool]) -> str:
    """Return a line of the table of rates."""
    passes, different, fails, equal = rates(verdicts)
    return (
        f"| {name} | {passes} of {different} ({passes / different:.1%}) "
        f"| {fails} of {equal} ({fails / equal:.1%}) |"
    )


def timed(verdict: Verdict, cases: list[tuple[str, str, bool]]) -> tuple[float, list[bool]]:
    """Return completions a second, and the verdicts."""
    started = time.perf_counter()
    said = [verdict(reference, completion) for reference, completion, _ in cases]
    return len(cases) / (time.perf_counter() - started), said


def main() -> None:
    """Print the three tables."""
    logging.disable(logging.WARNING)

    for warm in ("1", "\\sqrt{2}"):
        generously(warm, warm, True)
        same_answer(warm, "1.5")
    theirs = [generously(p.reference, p.answer, p.same) for p in pairs()]
    mine = [same_answer(p.reference, p.answer) for p in pairs()]
    print(f"{len(pairs())} pairs\n| grader | false passes | false fails |\n| --- | --- | --- |")
    print(table("palestra_math", mine))
    print(table("math-verify", theirs))
    if "--disagreements" in sys.argv:
        for p, said in zip(pairs(), theirs, strict=True):
            if said != p.same:
                what = "accepts" if said else "rejects"
                print(f"| `{p.reference}` | `{p.answer}` | {what} | {p.reason} |")
    cases = completions()
    if not cases:
        print(f"no data in {SHARED}: no agreement and no speed")
        return
    ours_speed, ours_said = timed(ours, cases)
    their_speed, their_said = timed(by_math_verify, cases)
    print(f"\n{len(cases)} completions of {', '.join(FILES)}, half of them a digit off")
    for name, speed, said in (
        ("palestra_math", ours_speed, ours_said),
        ("math-verify", their_speed, their_said),
    ):
        wrong = sum(s != right for s, (_, _, right) in zip(said, cases, strict=True))
        print(f"{name:14} {speed:8.0f} a second, {wrong} wrong")
    agreed = sum(a == b for a, b in zip(ours_said, their_said, strict=True))
    print(f"agreement {agreed / len(cases):.2%}; {ours_speed / their_speed:.1f} times as fast")
    if "--disagreements" in sys.argv:
        for a, b, case in zip(ours_said, their_said, cases, strict=True):
            if a != b:
                print(f"ours {a}, math-verify {b}: {case}")


if __name__ == "__main__":
    main()
