"""`palestra eval` and `palestra report`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from palestra.cli import main as cli

MATH = ["--env", "math/Arithmetic-v1", "--questions", "3", "--samples", "2", "--max-tokens", "24"]


@pytest.mark.slow
def test_eval_measures_a_model_on_every_environment(capsys):
    assert cli.run(["eval", "tiny", *MATH, "--env", "logic/Ordering-v1", "--json"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert list(document["evals"]) == ["math/Arithmetic-v1", "logic/Ordering-v1"]
    assert document["config"]["temperature"] == 0.6
    assert document["config"]["top_p"] == 0.95
    measure = document["evals"]["math/Arithmetic-v1"]["pass@1"]
    assert measure["n"] == 3
    assert measure["ci95"][0] <= measure["value"] <= measure["ci95"][1]
    assert "3 questions x 2 samples" in printed.err
    assert cli.run(["eval", "tiny", *MATH, "--no-greedy", "--difficulty", "1-2"]) == 0
    table = capsys.readouterr().out
    assert "pass@1" in table
    assert "greedy" not in table


def test_report_builds_the_page_and_prints_its_path(tmp_path: Path, capsys):
    (tmp_path / "recipe.yaml").write_text("model: tiny\n")
    (tmp_path / "manifest.json").write_text('{"recipe": "r1-tiny", "seed": 0}')
    assert cli.run(["report", str(tmp_path), "--json"]) == 0
    page = Path(json.loads(capsys.readouterr().out)["report"])
    assert page == tmp_path / "report" / "index.html"
    assert page.is_file()
    assert cli.run(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
