"""Losses and gradients against TRL's own, where TRL has the same: its code runs on the same numbers."""

from __future__ import annotations

import inspect
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from palestra.optimizers.base import Outputs, PolicyOptimizer
from palestra.optimizers.batch import Batch
from palestra.plugins.registry import Kind, get_registry
from tests.unit.optimizers.harness import cut, random_case

pytest.importorskip("trl")

LONGEST = 24
GROUP = 4


def ours(name: str, options: dict[str, Any]) -> PolicyOptimizer:
    factory: Any = get_registry().load(Kind.POLICY_OPTIMIZER, name)
    return factory(factory.Config.model_validate(options))


def table(batch: Batch, values_T: Tensor) -> Tensor:
    """Return a (T,) tensor as TRL has it: a row a completion, padded on the right."""
    return pad_sequence(cut(batch, values_T.double()), batch_first=True)


def case() -> tuple[Batch, Tensor]:
    """Return a random rollout with a reference, and the log-probs of now."""
    batch = random_case()
    noise = torch.Generator().manual_seed(4)
    tokens = len(batch.sequence_T)
    old = -torch.rand(tokens, generator=noise).double() * 2
    ref = old + torch.randn(tokens, generator=noise).double() * 0.3
    now = old + torch.randn(tokens, generator=noise).double() * 0.3
    return batch.with_fields({"old_logprobs": old, "ref_logprobs": ref}), now


class Stub(SimpleNamespace):
    """As much of a TRL trainer as `_compute_loss` looks at: settings, and a model's log-probs."""

    def __init__(self, logprobs: Tensor, **settings: Any) -> None:
        plain = dict(
            model=SimpleNamespace(training=True),
            accelerator=SimpleNamespace(
                num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x
            ),
            args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
            beta=0.0,
            epsilon_low=0.2,
            epsilon_high=0.2,
            top_entropy_quantile=1.0,
            off_policy_mask_threshold=None,
            importance_sampling_level="token",
            use_vllm=False,
            vllm_importance_sampling_correction=False,
            aux_loss_enabled=False,
            current_gradient_accumulation_steps=1,
            max_completion_length=LONGEST,
            _entropy_bonus_enabled=False,
            _metrics={"train": defaultdict(list)},
        )
        super().__init__(**{**plain, **settings})
        self._logprobs = logprobs

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        return self._logprobs, torch.zeros_like(self._logprobs), None


def theirs(kind: str, batch: Batch, now: Tensor, advantages_S: Tensor, **settings: Any) -> Tensor:
    """Return TRL's loss."""
    from trl import GRPOTrainer, RLOOTrainer

    trainer = RLOOTrainer if kind == "rloo" else GRPOTrainer
    mask = table(batch, torch.ones(len(batch.sequence_T)))
    old = table(batch, batch["old_logprobs"])
    inputs = {
        "prompt_ids": torch.zeros(len(batch), 1),
        "prompt_mask": torch.ones(len(batch), 1),
        "completion_ids": torch.zeros_like(mask),
        "completion_mask": mask,
        "advantages": advantages_S.double(),
        "old_per_token_logps": old,
        "old_logps": old.sum(1),
        "ref_per_token_logps": table(batch, batch["ref_logprobs"]),
        "num_items_in_batch": mask.sum(),
        "importance_sampling_ratio": settings.pop("weights", None),
    }
    return trainer._compute_loss(Stub(now, **settings), None, inputs)  # type: ignore[arg-type]


def grouped(scores: Tensor, kind: str) -> Tensor:
    """Return TRL's advantages, as `_generate_and_score_completions` has them."""
    rows = scores.double().view(-1, GROUP)
    if kind == "rloo":
        return (rows - (rows.sum(1, keepdim=True) - rows) / (GROUP - 1)).flatten()
    apart = rows - rows.mean(1, keepdim=True)
    spread = 1 if kind == "dr_grpo" else rows.std(1, keepdim=True) + 1e-4
    return (apart / spread).flatten()


SAME: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "grpo": ("grpo", {"aggregate": "sequence", "kl": 0.1}, {"loss_type": "grpo", "beta": 0.1}),
    "dr_grpo": ("dr_grpo", {"max_length": LONGEST}, {"loss_type": "dr_grpo"}),
    "dapo": ("dapo", {}, {"loss_type": "dapo", "epsilon_high": 0.28}),
    "gspo": (
        "gspo",
        {"clip": 0.05, "clip_high": 0.08},
        {
            "loss_type": "grpo",
            "importance_sampling_level": "sequence",
            "epsilon_low": 0.05,
            "epsilon_high": 0.08,
        },
    ),
    "cispo": ("cispo", {"max_ratio": 1.2}, {"loss_type": "cispo", "epsilon_high": 1.2}),
    "rloo": ("rloo", {}, {}),
}


@pytest.mark.parametrize("name", SAME)
def test_loss_and_gradient_are_trls(name: str) -> None:
    optimizer_name, options, settings = SAME[name]
    optimizer = ours(optimizer_name, options)
    batch, now = case()
    advantages = optimizer.advantages(batch)["advantages"]
    want_advantages = grouped(batch.scores_S, name)
    first = batch.lengths_S.cumsum(0) - batch.lengths_S
    torch.testing.assert_close(advantages[first].double(), want_advantages, atol=1e-6, rtol=1e-6)

    live = now.clone().requires_grad_()
    loss = optimizer.loss(Outputs(logprobs=live), batch.with_fields({"advantages": advantages}))
    loss.value.backward()
    their_table = table(batch, now).requires_grad_()
    want = theirs(name, batch, their_table, want_advantages, **settings)
    want.backward()
    assert float(loss.value.detach()) == pytest.approx(float(want.detach()), rel=1e-6)
    assert live.grad is not None
    assert their_table.grad is not None
    torch.testing.assert_close(table(batch, live.grad), their_table.grad, atol=1e-7, rtol=1e-5)
    share = float(loss.metrics["clip_share"].mean())
    assert 0.02 < share < 0.98  # the clip is in the comparison


def test_truncated_importance_sampling_is_trls() -> None:
    optimizer = ours("grpo_off_policy", {"max_weight": 2.0})
    batch, now = case()
    batch = batch.with_fields(optimizer.advantages(batch))
    live, their_table = now.clone().requires_grad_(), table(batch, now).requires_grad_()
    optimizer.loss(Outputs(logprobs=live), batch).value.backward()
    apart = table(batch, batch["old_logprobs"]) - table(batch, batch.sampler_logprobs_T)
    theirs(
        "grpo",
        batch,
        their_table,
        grouped(batch.scores_S, "grpo"),
        loss_type="dapo",
        use_vllm=True,
        vllm_importance_sampling_correction=True,
        weights=apart.exp().clamp(max=2.0),
    ).backward()
    assert live.grad is not None
    assert their_table.grad is not None
    torch.testing.assert_close(table(batch, live.grad), their_table.grad, atol=1e-7, rtol=1e-5)


def test_the_advantages_of_these_tests_are_still_trls() -> None:
    """They are written out above, for TRL computes them in the middle of its sampling."""
    from trl import GRPOTrainer, RLOOTrainer

    grpo = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    assert "advantages = rewards - mean_grouped_rewards" in grpo
    assert "advantages / (std_rewards + 1e-4)" in grpo
    rloo = inspect.getsource(RLOOTrainer._generate_and_score_completions)
    assert "baselines = (grouped_sum - grouped_rewards) / (scorable_counts - 1)" in rloo
