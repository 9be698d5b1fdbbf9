"""Which stages run, whose weights they begin with, and when a finished one must run again."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import pytest
import yaml

from palestra.errors import ConfigError, NotFound
from palestra.recipe.config import load_recipe
from palestra.recipe.graph import ancestors, select, stage_hash, weights_of
from palestra.recipe.plan import plan

HERE = Path(__file__).parent
WHOLE = HERE / "whole.yaml"


def test_select_takes_what_a_stage_needs():
    recipe = load_recipe(WHOLE)
    assert select(recipe) == list(recipe.stages)
    assert select(recipe, until="zero") == ["base_eval", "zero"]
    assert select(recipe, only="base_eval") == ["base_eval"]
    assert select(recipe, only="sft") == ["base_eval", "zero", "rejection", "sft"]
    assert select(recipe, only="zero", until="rejection") == ["base_eval", "zero"]
    assert ancestors(recipe, "distilled") == {"base_eval", "zero", "rejection"}
    with pytest.raises(NotFound, match=r"--only zro: no stage 'zro'. Did you mean 'zero'"):
        select(recipe, only="zro")
    with pytest.raises(ConfigError, match="--only sft comes after --until zero"):
        select(recipe, only="sft", until="zero")


def test_stages_that_do_not_train_pass_weights_on():
    recipe = load_recipe(WHOLE)
    assert weights_of(recipe, "base_eval") == "base"
    assert weights_of(recipe, "rejection") == "zero"
    assert weights_of(recipe, "student") == "student"


def hashes(*overrides: str, seed: int | None = None) -> dict[str, str]:
    recipe = load_recipe(WHOLE, overrides, seed)
    return {name: stage_hash(recipe, name) for name in recipe.stages}


def changed(*overrides: str, seed: int | None = None) -> set[str]:
    before, after = hashes(), hashes(*overrides, seed=seed)
    return {name for name in before if before[name] != after[name]}


def test_hash_is_the_same_for_the_same_recipe(tmp_path: Path):
    assert hashes() == hashes()
    recipe = load_recipe(WHOLE)
    (tmp_path / "elsewhere.yaml").write_text(recipe.to_yaml())
    again = load_recipe(tmp_path / "elsewhere.yaml")
    assert {name: stage_hash(again, name) for name in again.stages} == hashes()


def test_hash_changes_with_what_the_stage_depends_on():
    everything = set(hashes())
    after_zero = {"zero", "rejection", "sft", "distilled"}
    assert changed("stages.zero.steps=11") == after_zero
    assert changed("stages.sft.batch_size=4") == {"sft"}
    assert changed("stages.zero.eval.questions=21") == after_zero
    assert changed("mixtures.reasoning.sources.0.weight=2") == after_zero
    assert changed("stages.rejection.samples=5") == {"rejection", "sft", "distilled"}
    assert changed("student=org/other") == {"distilled"}
    assert changed(seed=1) == everything
    assert changed("engine.token_budget=100") == everything
    assert changed("model=org/other") == everything


def test_hash_does_not_change_with_what_does_not_matter():
    for override in ("role=null", "variant=x", "save_steps=3", "keep_last=5"):
        assert changed(f"stages.zero.{override}") == set()
    assert changed("description=x", "name=y") == set()


def test_hash_reads_templates_and_weights(tmp_path: Path):
    model, template = tmp_path / "model", tmp_path / "a.jinja"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"one")
    template.write_text("one")
    overrides = [f"model={model}", f"stages.zero.prompt={template}"]

    def zero() -> str:
        return stage_hash(load_recipe(WHOLE, overrides), "zero")

    first = zero()
    template.write_text("two")
    second = zero()
    (model / "model.safetensors").write_bytes(b"two")
    assert len({first, second, zero()}) == 3


def test_plan_resolves_every_batch_size_word(tmp_path: Path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [1000, 1000], "data_offsets": [0, 0]}})
    (tmp_path / "config.json").write_text("{}")
    weights = struct.pack("<Q", len(header)) + header.encode()
    (tmp_path / "model.safetensors").write_bytes(weights)
    recipe = load_recipe(WHOLE, [f"model={tmp_path}", "engine.token_budget=1024"])
    planned = plan(recipe, ["zero", "rejection", "sft"])
    zero, rejection, sft = planned.stages
    assert planned.model.parameters == 1_000_000
    assert zero.sizes["prompts_per_step"] == 4
    assert zero.sizes["rollouts_per_step"] == 32
    assert zero.sizes["sequences_per_update"] == 16
    assert zero.sizes["micro_steps_per_update_at_most"] == 2  # 16 of 64 + 64 tokens, 8 at once
    assert zero.sizes["optimizer_steps_per_step"] == 2
    assert zero.sizes["optimizer_steps"] == 20
    assert zero.sizes["new_tokens_per_step_at_most"] == 32 * 64
    assert zero.evaluation is not None
    assert zero.evaluation["completions"] == 2 * 20 * (8 + 1)
    assert zero.evaluation["evaluations"] == 2
    assert zero.weights_of == "base"
    assert rejection.sizes["completions"] == 200
    assert rejection.evaluation is None
    assert sft.sizes["examples_at_most"] == 50
    assert sft.sizes["optimizer_steps"] == 13
    assert zero.disk_bytes is not None
    assert zero.disk_bytes > 3 * 12_000_000
    assert zero.seconds is not None
    assert planned.as_dict()["stages"][0]["sizes"] == zero.sizes
    json.dumps(planned.as_dict())


def test_plan_counts_a_critic_as_a_second_model(tmp_path: Path):
    options = {"optimizer": {"type": "ppo", "critic": {"from": "policy"}}}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump({"extends": "r1-tiny"}))
    (tmp_path / "two.yaml").write_text(
        yaml.safe_dump({"extends": "r1-tiny", "stages": {"zero": options}})
    )
    one, two = (
        plan(load_recipe(tmp_path / f"{name}.yaml"), ["zero"]).stages[0] for name in ("one", "two")
    )
    assert one.seconds is not None
    assert two.seconds is not None
    assert one.disk_bytes is not None
    assert two.disk_bytes is not None
    assert two.seconds > 1.2 * one.seconds
    assert two.disk_bytes > 1.4 * one.disk_bytes


def test_plan_of_a_hub_model_says_unknown():
    planned = plan(load_recipe(WHOLE, ["model=org/name"]))
    assert planned.model.parameters is None
    assert planned.seconds is None
    assert planned.disk_bytes is None


def test_plan_prints():
    from rich.console import Console

    console = Console(width=80, file=io.StringIO())
    with console.capture() as printed:
        console.print(plan(load_recipe(WHOLE)))
    text = " ".join(printed.get().split())
    assert "rollouts per step 32" in text
    assert "for this model: stages.zero.optim.learning_rate = 0.0002" in text
