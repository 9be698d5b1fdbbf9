"""`palestra recipes` and `palestra run --dry-run`, up to where a run would begin."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from palestra.cli import recipes, run
from palestra.errors import ConfigError, NotFound

RECIPES = Path(__file__).parents[1] / "recipe"
CANONICAL = str(RECIPES / "canonical.yaml")
runner = CliRunner()


def test_ls_is_json_when_asked():
    result = runner.invoke(recipes.app, ["ls", "--json"])
    assert result.exit_code == 0
    assert isinstance(json.loads(result.stdout), list)


def test_show_prints_the_file_or_the_resolved_recipe():
    assert runner.invoke(recipes.app, ["show", CANONICAL]).stdout == Path(CANONICAL).read_text()
    document = json.loads(runner.invoke(recipes.app, ["show", CANONICAL, "--json"]).stdout)
    assert document["stages"]["zero"]["min_group"] == 2
    shown = runner.invoke(recipes.app, ["show", CANONICAL, "--set", "seed=9"]).stdout
    assert "seed: 9" in shown


def test_validate_says_valid_or_raises_with_exit_code_2():
    result = runner.invoke(recipes.app, ["validate", CANONICAL])
    assert (result.exit_code, result.stdout) == (0, "canonical: valid. 1 stages: zero\n")
    wrong = runner.invoke(recipes.app, ["validate", CANONICAL, "--set", "stages.zero.steps=x"])
    assert isinstance(wrong.exception, ConfigError)
    wrong = runner.invoke(
        recipes.app, ["validate", CANONICAL, "--json", "--set", "stages.zero.steps=x"]
    )
    assert wrong.exit_code == 2
    document = json.loads(wrong.stdout)
    assert document["valid"] is False
    assert document["problems"][0].startswith("--set stages.zero.steps=x stages.zero.steps: ")


def test_dry_run_prints_the_plan_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(run.app, [CANONICAL, "--dry-run", "--json", "--seed", "4"])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["seed"] == 4
    assert document["stages"][0]["sizes"]["rollouts_per_step"] == 256
    printed = runner.invoke(run.app, [CANONICAL, "--dry-run"]).stdout
    assert "rollouts per step 256" in " ".join(printed.split())
    assert not list(tmp_path.iterdir())


def test_run_names_an_unknown_stage():
    result = runner.invoke(run.app, [CANONICAL, "--dry-run", "--only", "zoro"])
    assert isinstance(result.exception, NotFound)


def test_validation_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from palestra.cli import recipes, run\n"
        "from palestra.recipe.config import load_recipe\n"
        f"load_recipe({CANONICAL!r})\n"
        "heavy = {'torch', 'transformers', 'gymnasium'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_schema_prints_a_json_schema_with_the_plugins_options():
    result = runner.invoke(recipes.app, ["schema"])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["title"] == "Palestra recipe"
    rules = document["$defs"]["OptimizerConfig"]["allOf"]
    grpo = next(r for r in rules if r["if"]["properties"]["type"]["const"] == "grpo")
    assert "ratio may move" in grpo["then"]["properties"]["clip"]["description"]


def test_show_resolved_fills_in_what_is_extended_and_nested(tmp_path: Path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "extends: r1-tiny\n"
        "mixtures:\n"
        "  more: {sources: [{mixture: zero, weight: 4}, {env: general/Instructions-v1}]}\n"
    )
    arguments = ["show", str(mine), "--resolved", "--set", "stages.zero.steps=5"]
    shown = yaml.safe_load(runner.invoke(recipes.app, arguments).stdout)
    assert [(s["env"], s["weight"]) for s in shown["mixtures"]["more"]["sources"]] == [
        ("math/Arithmetic-v1", 1.0),
        ("logic/Ordering-v1", 1.0),
        ("code/Expression-v1", 1.0),
        ("language/Consistency-v1", 1.0),
        ("general/Instructions-v1", 1.0),
    ]
    assert shown["stages"]["zero"]["steps"] == 5
    assert "extends" not in shown
    assert runner.invoke(recipes.app, ["show", str(mine)]).stdout == mine.read_text()
