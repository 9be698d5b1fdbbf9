"""Training a reward model in a recipe: it learns a known gold, resumes exactly, and pays in RL."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.made_preferences import write_preferences

from palestra.errors import ConfigError, DataError
from palestra.recipe.config import load_recipe
from palestra.recipe.graph import stage_hash
from palestra.recipe.plan import plan
from palestra.recipe.rescore import load_run_recipe, rescore
from palestra.recipe.run import run_recipe
from palestra.rollout.recorded import recorded_stages
from palestra.stages.measures import TIMES
from palestra.stages.preference_config import PreferenceDataConfig
from palestra.stages.preferences import load_preferences, split_by_prompt

RECIPE = """\
model: tiny
engine: {threads: 1, token_budget: 8192}
reward_models:
  helpful: {type: neural, from: preferences}
mixtures:
  general: {sources: [{env: general/Instructions-v1, rewards: {helpful: 1.0, format: 0.5}}]}
eval: {envs: [{env: general/Instructions-v1}], questions: 2, samples: 1}
stages:
  preferences:
    type: reward_model
    init_from: base
    data: [{file: prefs.jsonl}]
    steps: 200
    batch_size: 64
    held_out: 0.1
    save_steps: 50
    optim: {learning_rate: 1.0e-3, schedule: cosine, min_lr_ratio: 0.1}
  general:
    type: rl
    init_from: base
    mixture: general
    steps: 1
    prompts_per_step: 4
    group_size: 4
    sampling: {max_tokens: 48}
    optim: {learning_rate: 1.0e-4}
    eval: null
"""
SMALL = ("stages.preferences.steps=6", "stages.preferences.save_steps=2")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path


def rows(run: Path, stage: str = "01-preferences") -> list[dict[str, Any]]:
    lines = (run / "stages" / stage / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_nine_of_ten_held_out_pairs_of_a_known_gold_are_ordered_and_rl_is_paid_by_it(home: Path):
    """About a minute of training on one core; the gold is an environment's own grader."""
    assert write_preferences(home / "prefs.jsonl", tasks=8000) > 8000
    run = run_recipe(load_recipe(home / "r.yaml"), output=home / "run")
    results = json.loads((run / "results.json").read_text())
    facts = results["stages"][0]["facts"]
    assert facts["held_out_accuracy"]["value"] >= 0.9
    assert facts["held_out"] > 500
    last = rows(run)[-1]
    assert last["held_out_accuracy"] == facts["held_out_accuracy"]["value"]
    assert "held-out preferences" in (run / "report" / "index.html").read_text()
    (row,) = rows(run, "02-general")
    assert row["invalid"] == 0
    assert row["reward"] == pytest.approx(
        row["reward/helpful"] + 0.5 * row["reward/format"], rel=1e-4
    )


@pytest.mark.slow
def test_a_killed_stage_goes_on_to_the_same_weights(home: Path):
    write_preferences(home / "prefs.jsonl", tasks=40)
    recipe = load_recipe(home / "r.yaml", SMALL)
    whole = run_recipe(recipe, output=home / "whole", only="preferences")
    cut = home / "cut"
    shutil.copytree(whole, cut)
    manifest = json.loads((cut / "manifest.json").read_text())
    manifest["stages"]["preferences"]["finished"] = False
    (cut / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(cut / "stages/01-preferences/checkpoints/step-000006")
    run_recipe(recipe, output=cut, resume=True, only="preferences")
    place = "stages/01-preferences/checkpoints/step-000006/model/model.safetensors"
    assert (cut / place).read_bytes() == (whole / place).read_bytes()

    def numbers(run: Path) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if not k.startswith(TIMES)} for row in rows(run)]

    assert numbers(cut) == numbers(whole)
    assert len(numbers(cut)) == 6


@pytest.mark.slow
def test_rollouts_that_the_model_paid_are_scored_alike_again(home: Path):
    write_preferences(home / "prefs.jsonl", tasks=40)
    run = run_recipe(load_recipe(home / "r.yaml", SMALL), output=home / "run")
    (stage,) = recorded_stages(run)
    again = rescore(load_run_recipe(run), stage, 1)
    assert len(again) == 16
    assert len({each.components["helpful"] for each in again}) > 4
    assert not [each for each in again if each.is_changed]


def test_the_defaults_are_those_of_r1(home: Path):
    write_preferences(home / "prefs.jsonl", tasks=4)
    data = f"[{{file: {home}/prefs.jsonl}}]"
    whole = f"stages.preferences={{type: reward_model, init_from: base, data: {data}}}"
    recipe = load_recipe(home / "r.yaml", [whole])
    stage: Any = recipe.stages["preferences"]
    assert (stage.batch_size, stage.optim.learning_rate, stage.max_length) == (256, 6e-6, 8192)
    assert (stage.objective, stage.sees, stage.steps, stage.epochs) == (
        "pairwise",
        "answer",
        None,
        None,
    )
    assert stage.eval is None


def test_a_dry_run_counts_preferences_and_updates(home: Path):
    count = write_preferences(home / "prefs.jsonl", tasks=40)
    recipe = load_recipe(
        home / "r.yaml", ["stages.preferences.steps=null", "stages.preferences.batch_size=10"]
    )
    (planned,) = plan(recipe, ["preferences"]).stages
    assert planned.sizes["preferences_at_most"] == count
    assert planned.sizes["sequences_per_update"] == 20
    assert planned.sizes["optimizer_steps"] == math.ceil(0.9 * count / 10)
    assert planned.seconds
    assert planned.disk_bytes


def test_changed_preferences_make_the_model_and_what_it_pays_anew(home: Path):
    write_preferences(home / "prefs.jsonl", tasks=4)

    def hashes() -> list[str]:
        recipe = load_recipe(home / "r.yaml")
        return [stage_hash(recipe, name) for name in recipe.stages]

    before = hashes()
    write_preferences(home / "prefs.jsonl", tasks=5)
    assert all(a != b for a, b in zip(before, hashes(), strict=True))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("stages.general.init_from=preferences", "'preferences' trains a reward model, which writes nothing. Name it in `reward_models`"),
        ("stages.taught={type: distill, init_from: base, teacher: preferences, steps: 1, batch_size: 1, data: [{env: math/Arithmetic-v1, count: 1}], optim: {learning_rate: 1.0e-4}}", "teacher: 'preferences' trains a reward model, which writes nothing"),
        ("stages.preferences.eval={questions: 1}", "a reward model answers no questions"),
        ("stages.preferences.prefill=<think>", "writes nothing, so it has no `prefill`"),
        ("stages.preferences.data.0.file=no.jsonl", "data.0.file: no file at .*no.jsonl"),
        ("stages.preferences.epochs=1", "should have `steps` or `epochs`, not both"),
        ("stages.preferences.sees=summary", "should be 'answer' or 'completion', not 'summary'"),
        ("stages.preferences.objctive=pairwise", "unknown key 'objctive'. Did you mean 'objective'"),
        ("reward_models.helpful.from=general", "'general' does not come before stage 'general'"),
        ("reward_models.helpful.see=answer", "unknown key 'see'. Did you mean 'sees'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(home: Path, override: str, said: str):
    write_preferences(home / "prefs.jsonl", tasks=4)
    with pytest.raises(ConfigError, match=said) as caught:
        load_recipe(home / "r.yaml", [override])
    assert len(str(caught.value).splitlines()) == 1


# -- data ---------------------------------------------------------------------------------------


def loaded(folder: Path, *rows: dict[str, Any], pairwise: bool = True, **options: Any):
    file = folder / "p.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_preferences([PreferenceDataConfig(file=str(file), **options)], pairwise, 0, "s")


def test_pairs_are_text_or_conversations_and_columns_have_names(tmp_path: Path):
    turn = [{"role": "user", "content": "q"}]
    plain, talk = loaded(
        tmp_path,
        {"q": "q", "chosen": "a", "rejected": "b"},
        {"q": turn, "chosen": [*turn, {"role": "assistant", "content": "a"}], "rejected": "b"},
        prompt_column="q",
    )
    assert plain == talk
    assert plain.completions == ("a", "b")
    assert plain.messages == turn
    assert plain.prompt_key == talk.prompt_key


def test_labels_are_truth_values_or_0_and_1(tmp_path: Path):
    found = loaded(
        tmp_path,
        *({"prompt": "q", "completion": "a", "label": label} for label in (True, 1, False, 0)),
        pairwise=False,
    )
    assert [p.label for p in found] == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("row", "pairwise", "said"),
    [
        ({"prompt": "q", "chosen": "a", "rejectd": "b"}, True, r"p\.jsonl:1: no field 'rejected'\. Did you mean 'rejectd'"),
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, True, "are the same"),
        ({"prompt": "q", "completion": "a", "label": 2}, False, "'label' should be 0, 1, true or false: 2"),
        ({"prompt": "q", "completion": "a", "label": "safe"}, False, "true or false: 'safe'"),
    ],
)  # fmt: skip
def test_a_row_that_prefers_nothing_is_named(tmp_path, row, pairwise, said):
    with pytest.raises(DataError, match=said):
        loaded(tmp_path, row, pairwise=pairwise)


def test_a_prompt_is_trained_on_or_held_out_and_never_both(tmp_path: Path):
    found = loaded(
        tmp_path, *({"prompt": f"q{i % 10}", "chosen": f"{i}", "rejected": "b"} for i in range(40))
    )
    trained, held = split_by_prompt(found, 0.25, 0, "s")
    assert sorted(trained + held) == list(range(40))
    prompts = [{found[i].prompt_key for i in rows} for rows in (trained, held)]
    assert not prompts[0] & prompts[1]
    assert len(prompts[1]) == 3
    assert split_by_prompt(found, 0.25, 0, "s") == (trained, held)
    assert split_by_prompt(found, 0.25, 1, "s") != (trained, held)
    assert split_by_prompt(found, 0.0, 0, "s") == (list(range(40)), [])
