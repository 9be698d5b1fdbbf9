"""The worked packages of `examples/`, as wheels beside Palestra's own wheel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.plugin.venvs import ROOT, Venv, build_wheel, make_venv

EXAMPLES = ROOT / "examples"

RECIPE = """
name: worked
model: tiny
engine: {threads: 1, token_budget: 2048}
mixtures:
  mixed:
    sources:
      - {env: calendar/Weekday-v1, weight: 2, difficulty: 1, rewards: {accuracy: 1.0, format: 0.2, brevity: 0.1}}
      - {env: math/Arithmetic-v1, weight: 1, difficulty: 1, rewards: {accuracy: 1.0, format: 0.2}}
eval: {envs: [{env: calendar/Weekday-v1, difficulty: 1}], questions: 4, samples: 2, max_tokens: 32}
stages:
  zero:
    type: rl
    role: zero
    init_from: base
    mixture: mixed
    steps: 2
    prompts_per_step: 4
    group_size: 4
    sampling: {temperature: 1.0, max_tokens: 48}
    optimizer: {type: reinforce_loo}
    optim: {learning_rate: 1.0e-4}
"""


def listed(venv: Venv) -> dict[str, dict[str, object]]:
    """Return the installed plugins, by name."""
    return {p["name"]: p for p in json.loads(venv.palestra("plugins", "ls", "--json"))}


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """A clean environment with the wheel of Palestra: nothing is imported from the tree."""
    folder = tmp_path_factory.mktemp("worked")
    made = make_venv(folder / "venv", tree=False)
    wheel = build_wheel(ROOT, folder)
    made.run("-m", "pip", "install", "--quiet", "--ignore-installed", "--no-deps", wheel)
    where = made.run(
        "-c", "import palestra, palestra_math; print(palestra_math.__file__, palestra.__file__)"
    )
    assert where.count(str(made.site)) == 2, where
    return made


@pytest.mark.slow
def test_worked_packages_install_train_and_uninstall(venv: Venv, tmp_path: Path):
    wheels = [build_wheel(EXAMPLES / f"palestra-{n}", tmp_path) for n in ("calendar", "brevity")]
    said = venv.palestra("plugins", "install", *wheels)
    assert "environment calendar/Weekday-v1" in said
    assert "reward model brevity; policy optimizer reinforce_loo" in said
    plugins = listed(venv)
    assert (plugins["calendar"]["state"], plugins["brevity"]["state"]) == ("ok", "ok")
    checked = json.loads(venv.palestra("envs", "check", "calendar/Weekday-v1", "--json"))
    assert "calendar/Weekday-v1" in json.dumps(checked)
    for name in ("calendar", "brevity"):
        tests = EXAMPLES / f"palestra-{name}" / "tests"
        out = venv.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tests, tests)
        assert " passed" in out or "[100%]" in out
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    venv.palestra("run", "recipe.yaml", "--output", "run", cwd=tmp_path)
    lines = (tmp_path / "run/stages/01-zero/metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == [1, 2]
    assert all(0.0 <= row["reward/brevity"] <= 1.0 for row in rows)
    for name in ("calendar", "brevity"):
        venv.palestra("plugins", "uninstall", name, "--yes")
    assert not {"calendar", "brevity"} & set(listed(venv))
    gone = venv.palestra("recipes", "validate", "recipe.yaml", code=2, cwd=tmp_path)
    assert "recipe.yaml:" in gone
    assert "no policy optimizer 'reinforce_loo'" in gone
    assert "no environment" in venv.palestra("envs", "show", "calendar/Weekday-v1", code=2)
