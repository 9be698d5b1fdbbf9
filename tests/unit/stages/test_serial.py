"""Without staleness a stage is the plain loop, bit for bit: collect, learn, and again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from accelerate import Accelerator

from palestra.learner.packing import pack
from palestra.plugins.registry import get_registry
from palestra.recipe.config import load_recipe
from palestra.rollout.collect import collect
from palestra.rollout.collection import Collection
from palestra.rollout.samplers.base import SamplingParams
from palestra.rollout.samplers.transformers import TransformersSampler
from palestra.seeding import derive_seed, rng
from palestra.stages.base import StageContext
from palestra.stages.rl import RLStage

RECIPE = """\
model: tiny
engine: {threads: 1, token_budget: 2048}
mixtures:
  zero:
    sources:
      - {env: math/Arithmetic-v1, difficulty: 1, rewards: {accuracy: 1.0, format: 0.2}}
      - {env: logic/Ordering-v1, difficulty: 1, rewards: {accuracy: 1.0, format: 0.2}}
stages:
  zero:
    type: rl
    init_from: base
    mixture: zero
    steps: 3
    prompts_per_step: 3
    group_size: 4
    mini_batches: 2
    sampling: {max_tokens: 24}
    optimizer: {type: grpo, kl: 0.01}
    optim: {learning_rate: 1.0e-3}
"""
QUIET = SimpleNamespace(
    stage=lambda *a: None,
    step=lambda *a: None,
    activity=lambda *a: None,
    completion=lambda *a: None,
    note=lambda *a: None,
)


def stage(folder: Path) -> RLStage:
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE)
    recipe = load_recipe(folder / "recipe.yaml")
    context = StageContext(
        name="zero",
        config=recipe.stages["zero"],
        recipe=recipe,
        folder=folder / "stages" / "01-zero",
        weights=recipe.model_ref.source,
        data={},
        registry=get_registry(),
        accelerator=Accelerator(cpu=True),
        progress=cast("Any", QUIET),
    )
    return RLStage(context)


def plain_loop(parts: RLStage) -> dict[str, torch.Tensor]:
    """What `RLStage` stands for, written out for this recipe."""
    config, seed = parts.config, parts.seed
    sampler = TransformersSampler(parts.policy.model)
    for number in range(1, config.steps + 1):
        torch.manual_seed(derive_seed(seed, "step", "zero", number))
        collected = collect(
            parts.mixture,
            sampler,
            parts.policy.prompter,
            Collection(
                params=SamplingParams(temperature=1.0, max_tokens=24),
                group_size=4,
                min_group=2,
                noise=(seed, "sample", "zero"),
            ),
            prompts=3,
        )
        parts.mixture.observe(collected.outcomes())
        fields = frozenset({"old_logprobs", "ref_logprobs"})
        rollout = parts.learner.annotate(pack(collected.kept), fields)
        rollout = rollout.with_fields(parts.optimizer.advantages(rollout))
        for batch in rollout.mini_batches(2, rng(seed, "mini_batches", "zero", number)):
            parts.learner.update(batch, parts.optimizer.loss)
    return parts.learner.model.state_dict()


@pytest.mark.slow
def test_a_stage_without_staleness_is_the_plain_loop(tmp_path: Path):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ours = stage(tmp_path / "stage")
        began = {n: t.clone() for n, t in ours.learner.model.state_dict().items()}
        ours.run()
        plain = plain_loop(stage(tmp_path / "plain"))
    finally:
        torch.set_num_threads(before)
    for name, tensor in ours.learner.model.state_dict().items():
        assert torch.equal(tensor, plain[name]), name
    assert not all(torch.equal(began[name], tensor) for name, tensor in plain.items())
