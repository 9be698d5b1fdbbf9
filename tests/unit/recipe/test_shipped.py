"""The recipes in the package: what their headers promise, and R1's numbers in `r1-671b`."""

from __future__ import annotations

from typing import Any

import pytest

from palestra.recipe.config import load_recipe, recipe_text, shipped_recipes

NAMED = ("zero", "zero_long", "r1_rules", "r1")
NAMES = [name for name, _ in shipped_recipes()]


def test_the_shipped_recipes():
    assert NAMES == [
        "r1-671b",
        "r1-claims",
        "r1-distill",
        "r1-tiny",
        "r1-zero-smollm2",
        "r1-zero",
        "r1",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_header_says_what_the_recipe_costs(name: str):
    header = recipe_text(name).partition("\nname:")[0].partition("\nextends:")[0]
    assert "GPU" in header or "CPU" in header
    assert "hour" in header or "minute" in header
    assert "GB" in header or "TB" in header


def test_r1_has_the_numbers_of_the_paper():
    """Section 1 of arXiv 2501.12948v2's numbers, each where its place is named in the recipe."""
    recipe = load_recipe("r1-671b")
    stages: dict[str, Any] = dict(recipe.stages)
    for name, temperature, length in (
        ("zero", 1.0, 32768),
        ("zero_long", 1.0, 65536),
        ("reasoning_rl", 1.0, 32768),
        ("r1_rules", 0.7, 32768),
        ("r1", 0.7, 32768),
    ):
        stage = stages[name]
        assert stage.prompts_per_step * stage.group_size == 8192  # outputs a rollout
        assert stage.prompts_per_step * stage.group_size / stage.mini_batches == 512  # 32 x 16
        assert stage.group_size == 16
        assert stage.epochs == 1
        assert stage.optim.learning_rate == 3e-6
        assert stage.optimizer.options["kl"] == 0.001
        assert stage.reference_every == 400
        assert stage.sampling.temperature == temperature
        assert stage.sampling.max_tokens == length
    updates = {n: stages[n].steps * stages[n].mini_batches for n in NAMED}
    assert abs(updates["zero"] - 8200) < 16
    assert abs(updates["zero"] + updates["zero_long"] - 10400) <= 16
    assert abs(updates["r1_rules"] + updates["r1"] - 1700) < 16
    assert updates["r1"] == 400
    paid = {name for s in recipe.mixtures["preferred"].sources for name in s.rewards}
    assert "helpful" in paid
    assert not any("helpful" in s.rewards for s in recipe.mixtures["all"].sources)
    for name in ("reasoning_rl", "r1"):
        assert stages[name].optimizer.options["clip"] == 10.0
    for name in ("cold_start", "sft"):
        stage = stages[name]
        assert stage.init_from == "base"
        assert 2 <= stage.epochs <= 3
        assert stage.batch_size == 128
        assert stage.optim.learning_rate == 5e-5
        assert stage.optim.learning_rate * stage.optim.min_lr_ratio == pytest.approx(5e-6)
    rewards = [s.rewards for s in recipe.mixtures["zero"].sources]
    assert all(r == {"accuracy": 1.0, "format": 1.0} for r in rewards)  # equal weight
    assert recipe.eval is not None
    assert (recipe.eval.temperature, recipe.eval.top_p, recipe.eval.samples) == (0.6, 0.95, 64)
    assert recipe.audit_ngram == 10  # Section D.1: decontamination by 10-grams
