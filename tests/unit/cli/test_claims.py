"""`palestra claims`: the page of what runs came to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from palestra.cli.main import run
from palestra.evaluation.claims import CLAIMS
from palestra.report.claims_page import NOT_TESTABLE


def claim(id_: str, verdict: str, text: str) -> dict[str, object]:
    return {"id": id_, "verdict": verdict, "measured": {"text": text}}


def results(*claims: dict[str, object]) -> str:
    return json.dumps({"recipe": "r1-claims", "seconds": 600.0, "claims": list(claims)})


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    made = {
        0: results(
            claim("pure_rl_raises_accuracy", "reproduced", "pass@1 0.5 | zero"),
            claim("length_grows", "reproduced", "31 tokens"),
        ),
        1: results(
            claim("pure_rl_raises_accuracy", "inconclusive", "pass@1 0.3"),
            claim("length_grows", "not reproduced", "14 tokens"),
        ),
    }
    for seed, text in made.items():
        (tmp_path / f"seed-{seed}").mkdir()
        (tmp_path / f"seed-{seed}" / "results.json").write_text(text)
        write_manifest(tmp_path / f"seed-{seed}", done=True)
    return tmp_path


def write_manifest(folder: Path, *, done: bool) -> None:
    manifest = {"recipe": "r1-claims", "seed": 0, "started": "", "done": done, "stages": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def read(runs: Path, *arguments: str) -> tuple[int, str]:
    page = runs / "docs" / "claims.md"
    options = ["--read-only", "--output", str(runs), "--to", str(page), *arguments]
    code = run(["claims", *options])
    return code, page.read_text(encoding="utf-8") if page.is_file() else ""


def test_the_worst_seed_decides(runs: Path, capsys: pytest.CaptureFixture[str]):
    code, page = read(runs)
    assert code == 0
    assert "seeds 0, 1" in capsys.readouterr().out
    rows = {line.split(" | ")[0].strip("| "): line for line in page.splitlines() if "|" in line}
    by_id = {c.id: rows[c.claim] for c in CLAIMS}
    assert "**≈ inconclusive** | ✓ | ≈ |" in by_id["pure_rl_raises_accuracy"]
    assert "**✗ not reproduced** | ✓ | ✗ |" in by_id["length_grows"]
    assert "Figure 1a: AIME 2024 15.6 to 77.9" in by_id["pure_rl_raises_accuracy"]
    assert "- seed 1: ✗ 14 tokens" in page


def test_a_claim_that_was_not_asked_is_on_the_page_with_a_reason(runs: Path):
    _, page = read(runs)
    untested = page.partition("## Not testable here")[2].partition("## What was measured")[0]
    for title, _, reason in NOT_TESTABLE:
        assert title in untested
        assert reason in untested
    for one in CLAIMS[2:]:
        assert f"| {one.claim} |  | its stages did not run" in untested


def test_only_the_seeds_that_are_asked_for(runs: Path):
    _, page = read(runs, "--seeds", "1")
    assert "seed 1" not in page


def test_a_run_that_is_not_done_is_left_out(runs: Path):
    write_manifest(runs / "seed-1", done=False)
    _, page = read(runs)
    assert "seed 1" not in page


def test_no_run_at_all_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, _ = read(tmp_path)
    assert code == 2
    assert "holds no finished run" in capsys.readouterr().err
