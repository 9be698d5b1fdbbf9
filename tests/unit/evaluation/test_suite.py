"""Suites: ratings and win rates by hand, what is absent, and both shipped ones on real files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palestra.cli.main import run
from palestra.envs import Score
from palestra.errors import DataError, NotFound
from palestra.evaluation.metrics import Question, Sample
from palestra.evaluation.rating import MARGIN, rating, rating_of
from palestra.evaluation.suite import load_suite, suites
from palestra.evaluation.win_rate import read_baseline, win_rate
from palestra.rewards.base import Scored
from palestra.rollout.samplers.base import Completion, Request, SamplingParams

SHARED = Path(__file__).parents[3].parent / "shared" / "data"


def question(of: int | None, *correct: float, valid: bool = True) -> Question:
    samples = tuple(
        Sample(
            correct=c, lenient=None, answer=None, length=1, format=1.0, language=None,
            truncated=False, valid=valid,
        )
        for c in correct
    )  # fmt: skip
    return Question(
        task_id=str(of), prompt_hash=str(of), difficulty=of, language=None, samples=samples,
        greedy=None,
    )  # fmt: skip


# -- rating ------------------------------------------------------------------------------------


def test_half_of_equal_problems_is_their_rating():
    found = rating([question(1500, 1.0), question(1500, 0.0)])
    assert found is not None
    assert found.value == pytest.approx(1500, abs=1e-6)
    assert found.ci95 == pytest.approx((1500 - MARGIN, 1500 + MARGIN))


def test_a_share_of_ten_elevenths_is_400_points_more():
    """1 / (1 + 10 ** (-400 / 400)) = 10 / 11."""
    assert rating_of(np.full(11, 1200.0), np.array([1.0] * 10 + [0.0])) == pytest.approx(1600)


def test_the_rating_makes_the_expected_number_the_solved_one():
    of = np.array([800.0, 1200.0, 1600.0, 2400.0])
    value = rating_of(of, np.array([1.0, 1.0, 0.5, 0.0]))
    assert (1 / (1 + 10 ** ((of - value) / 400))).sum() == pytest.approx(2.5)


def test_all_or_nothing_solved_says_no_more_than_the_range():
    assert rating_of(np.array([900.0, 2000.0]), np.ones(2)) == pytest.approx(2000 + MARGIN)
    assert rating_of(np.array([900.0, 2000.0]), np.zeros(2)) == pytest.approx(900 - MARGIN)


def test_failed_graders_and_unrated_problems_do_not_count():
    assert rating([question(None, 1.0), question(1500, 1.0, valid=False)]) is None
    kept = [question(1500, 1.0), question(1500, 0.0)]
    assert rating([*kept, question(3000, 1.0, valid=False)]) == rating(kept)


@given(st.lists(st.tuples(st.integers(800, 3500), st.floats(0, 1)), min_size=1, max_size=20))
def test_solving_more_never_lowers_a_rating(rows: list[tuple[int, float]]):
    of, solved = (np.array(x, dtype=float) for x in zip(*rows, strict=True))
    assert rating_of(of, solved) <= rating_of(of, np.minimum(1, solved + 0.1)) + 1e-6


# -- win rate ----------------------------------------------------------------------------------


class Prompter:
    stop_token_ids = (0,)

    def open(self, messages: Sequence[Any]) -> tuple[int, ...]:
        return (len(messages[0]["content"]),)

    def action(self, ids: Sequence[int]) -> str:
        return "x" * ids[0]


class Sampler:
    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        for index in reversed(range(len(requests))):
            length = requests[index].token_ids[0]
            yield Completion(
                index=index, token_ids=(length,), logprobs=np.zeros(1), stop_reason="stop"
            )


class Longer:
    """Prefers the longer of a pair; refuses to judge 'zz'."""

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        scores: list[Score] = []
        for item in batch:
            other = next(o for o in batch if o.group == item.group and o is not item)
            if item.messages[0]["content"] == "zz":
                scores.append(Score.failed("the judge is down"))
                continue
            a, b = len(item.completion), len(other.completion)
            scores.append(Score(value=0.5 if a == b else float(a > b)))
        return scores


def test_wins_draws_and_failures():
    """The answer is as long as its prompt: it wins, draws, loses, and goes without a verdict."""
    baseline = [("aaaa", "b"), ("aa", "bb"), ("a", "bbb"), ("zz", "b")]
    share, failed = win_rate(
        baseline, Longer(), Prompter(), Sampler(), SamplingParams(max_tokens=4), 0
    )  # pyright: ignore
    assert (share.value, share.n, failed) == (0.5, 3, 1)


def test_a_baseline_without_answers_names_its_line(tmp_path: Path):
    file = tmp_path / "baseline.jsonl"
    file.write_text('{"prompt": "a", "answer": "b"}\n{"prompt": "c"}\n')
    assert read_baseline(file, limit=1) == [("a", "b")]
    with pytest.raises(DataError, match=r"baseline\.jsonl:2: no object with 'prompt' and 'answer'"):
        read_baseline(file)


# -- suites ------------------------------------------------------------------------------------


def test_r1_benchmarks_has_the_papers_protocol():
    suite = load_suite("r1-benchmarks")
    assert (suite.temperature, suite.top_p, suite.max_tokens) == (0.6, 0.95, 32768)
    k = {name: benchmark.samples for name, benchmark in suite.benchmarks.items()}
    assert k["AIME 2024"] == k["GPQA Diamond"] == 64
    assert k["MATH-500"] == k["Codeforces"] == 16
    assert k["LiveCodeBench"] == 8
    assert suite.benchmarks["Codeforces"].rated
    assert suite.benchmarks["Arena-Hard"].judge is not None
    assert suites() == ["open-files", "r1-benchmarks"]


def test_a_suite_that_there_is_not(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(NotFound, match="Did you mean 'r1-benchmarks'"):
        load_suite("r1-benchmark")
    assert run(["benchmark", "tiny", "--only", "AIME 2025"]) == 2
    assert "Did you mean 'AIME 2024'" in capsys.readouterr().err


def write(file: Path, rows: list[dict[str, object]]) -> None:
    file.write_text("\n".join(map(json.dumps, rows)))


def test_what_is_there_is_measured_and_what_is_not_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write(tmp_path / "aime24_test.jsonl", [{"problem": "What is 1+1?", "answer": "2"}])
    tests = [{"stdin": "1\n", "stdout": "1\n"}]
    rows: list[dict[str, object]] = [{"question": "Echo.", "tests": tests, "rating": 800}]
    write(tmp_path / "codeforces.jsonl", rows)
    names = ["AIME 2024", "Codeforces", "LiveCodeBench", "Arena-Hard"]
    only = [word for name in names for word in ("--only", name)]
    limits = ["--samples", "2", "--max-tokens", "8", "--data", str(tmp_path)]
    assert run(["benchmark", "tiny", *only, *limits, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["benchmarks"]
    assert found["AIME 2024"]["pass@1"]["n"] == 1
    if "absent" not in found["Codeforces"]:  # programs can be confined here
        assert found["Codeforces"]["rating"]["value"] == pytest.approx(800 - MARGIN)
    assert found["LiveCodeBench"]["absent"].startswith(f"no file {tmp_path}/livecodebench.jsonl")
    assert found["Arena-Hard"]["absent"].startswith(f"no file {tmp_path}/arena_hard_baseline.jsonl")


def test_a_rating_that_is_no_number_names_its_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    rows: list[dict[str, object]] = [
        {"question": "Echo.", "tests": [{"stdin": "", "stdout": ""}], "rating": "hard"}
    ]
    write(tmp_path / "codeforces.jsonl", rows)
    assert run(["benchmark", "tiny", "--only", "Codeforces", "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "codeforces.jsonl:1" in out
    assert "field 'rating' is a whole number, not 'hard'" in out


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data here")
def test_open_files_run_on_real_data(capsys: pytest.CaptureFixture[str]):
    limits = ["--questions", "2", "--samples", "2", "--max-tokens", "16", "--data", str(SHARED)]
    assert run(["benchmark", "tiny", "open-files", *limits, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["benchmarks"]
    assert len(found) == 6
    for name, block in found.items():
        assert "absent" in block or block["pass@1"]["n"] + block["invalid"] >= 2, name
    for name in ("GSM8K", "SVAMP", "CMATH", "AMC 2023"):
        assert found[name]["pass@1"]["n"] == 2
