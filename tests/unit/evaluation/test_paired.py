"""Two runs compared by question: against every resample there is, and by the command."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from tests.unit.recipe.made_run import make_run

from palestra.cli import main as cli
from palestra.errors import DataError
from palestra.evaluation.answered import Answered, read_answered, write_answered
from palestra.evaluation.metrics import Question, Sample
from palestra.evaluation.paired import compare_answers


def answered(
    values: list[float], env: str = "math/Arithmetic-v1", first: int = 0
) -> list[Answered]:
    return [
        Answered(
            env=env,
            task_id=str(number),
            prompt_hash=f"hash {number}",
            samples=4,
            valid=4,
            means={"pass@1": value, "mean_length": 10 * value},
        )
        for number, value in enumerate(values, start=first)
    ]


def exact(changes: list[float]) -> tuple[float, float, float]:
    """Interval and p from all n^n resamples, each as likely as any other."""
    means = np.array([np.mean(drawn) for drawn in itertools.product(changes, repeat=len(changes))])
    low, high = np.quantile(means, (0.025, 0.975), method="inverted_cdf")
    p = min(1.0, 2 * min((means <= 1e-12).mean(), (means >= -1e-12).mean()))
    return float(low), float(high), float(p)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([0.0, 0.0, 0.5, 1.0, 0.25], [1.0, 0.25, 0.5, 0.75, 1.0]),
        ([1.0, 0.5, 0.0, 0.25, 0.75], [0.0, 0.5, 0.25, 0.0, 0.25]),
        ([0.0, 0.5, 1.0, 0.5], [0.5, 0.0, 0.5, 1.0]),
    ],
)
def test_interval_and_p_are_those_of_all_resamples(before: list[float], after: list[float]) -> None:
    (row,) = compare_answers(answered(before), answered(after), resamples=200_000).rows
    changes = [b - a for a, b in zip(before, after, strict=True)]
    low, high, p = exact(changes)
    assert row.difference.value == pytest.approx(np.mean(changes))
    assert row.difference.ci95 == pytest.approx((low, high), abs=1e-9)
    assert row.p == pytest.approx(p, abs=0.005)
    assert (row.first, row.second) == pytest.approx((np.mean(before), np.mean(after)))


def test_pairing_is_narrower_than_two_intervals_where_questions_differ_in_difficulty() -> None:
    before = [i / 39 for i in range(40)]
    after = [min(1.0, value + 0.05 + 0.01 * (i % 3)) for i, value in enumerate(before)]
    (row,) = compare_answers(answered(before), answered(after)).rows
    low, high = row.difference.ci95
    assert 0 < low < row.difference.value < high
    assert high - low < 0.03  # an unpaired interval would be about 0.25 wide
    assert row.p < 0.001


def test_the_order_of_the_questions_and_the_side_do_not_count() -> None:
    a, b = answered([0.0, 0.25, 0.5, 1.0, 1.0]), answered([0.5, 0.25, 1.0, 0.75, 1.0])
    (row,) = compare_answers(a, b).rows
    (again,) = compare_answers(a[::-1], b).rows
    (back,) = compare_answers(b, a).rows
    assert again == row
    assert back.difference.value == -row.difference.value
    assert back.p == pytest.approx(row.p, abs=0.03)


def test_environments_pool_by_question_and_general_ones_stay_out() -> None:
    first = answered([0.0] * 3) + answered([0.5], "logic/Maze-v1") + answered([0.0], "general/Q-v1")
    second = answered([1.0, 0.0, 1.0]) + answered([0.5], "logic/Maze-v1")
    second += answered([1.0], "general/Q-v1")
    rows = {row.env: row for row in compare_answers(first, second).rows}
    assert list(rows) == ["math/Arithmetic-v1", "logic/Maze-v1", "general/Q-v1", "pooled"]
    assert rows["pooled"].difference.value == pytest.approx(2 / 4)
    assert rows["pooled"].difference.n == 4


def test_questions_that_one_run_lacks_are_counted_and_left_out() -> None:
    pairing = compare_answers(answered([0.0, 1.0, 1.0]), answered([1.0, 0.0], first=2))
    assert (pairing.shared, pairing.only_first, pairing.only_second) == (1, 2, 1)
    assert pairing.rows[0].difference.value == 0.0


def test_equal_differences_keep_an_interval_and_the_sign_test() -> None:
    (row,) = compare_answers(answered([0.0] * 10), answered([1.0] * 10)).rows
    assert row.difference.ci95 == pytest.approx((0.025**0.1, 1.0))
    assert row.p == pytest.approx(2 / 2**10)
    (same,) = compare_answers(answered([0.5] * 10), answered([0.5] * 10)).rows
    assert same.p == 1.0
    assert same.difference.ci95[0] < 0 < same.difference.ci95[1]


# -- the file -------------------------------------------------------------------------------------


def question(name: str, *marks: float, valid: bool = True) -> Question:
    samples = tuple(
        Sample(
            correct=mark,
            lenient=None,
            answer=None,
            length=7,
            format=1.0,
            language=None,
            truncated=False,
            valid=valid,
        )
        for mark in marks
    )
    return Question(
        task_id=name, prompt_hash=name, difficulty=1, language=None, samples=samples, greedy=None
    )


def test_a_file_keeps_each_question_and_what_was_not_measured_stays_so(tmp_path: Path) -> None:
    file = tmp_path / "stage" / "questions.parquet"
    failed = question("b", 0.0, 0.0, valid=False)
    write_answered({"math/A-v1": [question("a", 1.0, 0.0, 0.0, 0.0), failed]}, file)
    good, bad = read_answered(file)
    assert (good.key, good.samples, good.valid) == (("math/A-v1", "a", "a"), 4, 4)
    assert good.means == {"pass@1": 0.25, "format": 1.0, "mean_length": 7.0}
    assert (bad.valid, dict(bad.means)) == (0, {})  # a failed grader is no wrong answer


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "questions.parquet"
    file.write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match="no record of an evaluation's questions"):
        read_answered(file)


# -- the command ----------------------------------------------------------------------------------


def run_with(folder: Path, marks: dict[str, list[float]]) -> Path:
    """A finished run whose stage r1 answered these questions."""
    run = make_run(folder)
    found = {
        env: [question(f"{env} {i}", mark, 0.0) for i, mark in enumerate(own)]
        for env, own in marks.items()
    }
    write_answered(found, run / "stages" / "02-r1" / "questions.parquet")
    return run


def test_the_command_prints_a_row_for_each_environment_and_says_what_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = run_with(tmp_path / "a", {"math/A-v1": [0, 0, 1, 0], "logic/B-v1": [1, 0]})
    b = run_with(tmp_path / "b", {"math/A-v1": [1, 1, 1], "logic/B-v1": [1, 1]})
    assert cli.run(["compare", str(a), str(b), "--role", "r1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"pass@1: A is {a}:r1, B is {b}:r1"
    assert lines[2].split()[:5] == ["math/A-v1", "3", "16.7%", "50.0%", "+33.3%"]
    assert lines[4].split()[:2] == ["pooled", "5"]
    assert lines[5] == "the questions differ: 5 are in both and compared; 1 only in A, 0 only in B"
    assert cli.run(["compare", f"{a}:r1", str(b), "--metric", "mean_length", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["shared"] == 5
    assert document["rows"][0]["difference"]["value"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["{a}", "{b}", "--role", "r2"], "no finished stage of role 'r2'."),
        (["{a}", "{b}", "--metric", "pass@2"], "no measure 'pass@2'. Did you mean 'pass@1'"),
        (["{a}", "{b}:zero"], "has no questions.parquet: it was not evaluated"),
        (["{a}", "{c}"], "share no question: of 2 and 1 none is the same"),
        (["{a}", "{b}", "--metric", "lenient@1"], "'lenient@1' was not measured on any question"),
        (["{a}", "nowhere"], "nowhere does not exist"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    runs = {
        "a": run_with(tmp_path / "a", {"math/A-v1": [0, 1]}),
        "b": run_with(tmp_path / "b", {"math/A-v1": [0, 1]}),
        "c": run_with(tmp_path / "c", {"math/C-v1": [1]}),
    }
    assert cli.run(["compare", *(word.format(**runs) for word in arguments)]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert line in error


@pytest.mark.slow
def test_an_evaluation_leaves_the_questions_its_measures_are_means_of(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "model: tiny\nengine: {threads: 1}\n"
        "eval: {envs: [math/Arithmetic-v1, logic/Ordering-v1], questions: 6, samples: 2,\n"
        "  max_tokens: 24}\n"
        "stages: {start: {type: evaluate, role: base, init_from: base}}\n"
    )
    run = tmp_path / "run"
    assert cli.run(["run", str(recipe), "--output", str(run)]) == 0
    found = read_answered(run / "stages" / "01-start" / "questions.parquet")
    evals = json.loads((run / "results.json").read_text())["stages"][0]["evals"]
    for env, measured in evals.items():
        own = [q for q in found if q.env == env]
        for name in ("pass@1", "format", "mean_length", "greedy"):
            assert measured[name]["value"] == pytest.approx(np.mean([q.means[name] for q in own]))
    assert len(found) == 12
