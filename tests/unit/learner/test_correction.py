"""Importance weights against values worked out by hand, and what a loss makes of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from palestra.learner.correction import CorrectionConfig, importance_weights
from palestra.optimizers.base import Outputs, aggregate
from palestra.optimizers.batch import Batch, Totals
from palestra.optimizers.grpo import GRPO, GRPOConfig

LENGTHS = [3, 2, 1]
RATIOS = torch.tensor([0.5, 1.0, 4.0, 0.25, 0.8, 3.0], dtype=torch.float64)


def batch_of_ratios(ratios: torch.Tensor = RATIOS) -> Batch:
    """Three sequences whose tokens the trainer finds `ratios` times as likely as the sampler."""
    tokens = int(ratios.numel())
    sampled = -torch.arange(1, tokens + 1, dtype=torch.float64) / 3
    return Batch(
        token_ids=tuple(np.arange(1 + n) for n in LENGTHS),
        loss_mask=tuple(np.arange(1 + n) >= 1 for n in LENGTHS),
        rewards_T=torch.zeros(tokens, dtype=torch.float64),
        scores_S=torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64),
        sequence_T=torch.repeat_interleave(torch.arange(3), torch.tensor(LENGTHS)),
        group_S=torch.zeros(3, dtype=torch.long),
        source_S=torch.zeros(3, dtype=torch.long),
        turn_T=torch.zeros(tokens, dtype=torch.long),
        version_T=torch.zeros(tokens, dtype=torch.long),
        sampler_logprobs_T=sampled,
        total=Totals(tokens, 3),
        fields={"old_logprobs": sampled + ratios.log()},
    )


def weights(**options: object) -> list[float]:
    return importance_weights(batch_of_ratios(), CorrectionConfig(**options)).tolist()


def test_truncation_cuts_each_tokens_ratio_at_the_cap():
    expected = [0.5, 1.0, 2.0, 0.25, 0.8, 2.0]
    assert weights(type="truncate", cap=2.0) == pytest.approx(expected, abs=1e-12)


def test_a_sequence_weighs_the_product_of_its_ratios_or_nothing():
    # Products: 0.5 x 1 x 4 = 2, 0.25 x 0.8 = 0.2, 3.
    assert weights(type="mask_sequence", cap=2.5) == pytest.approx([2.0] * 3 + [0.2] * 2 + [0.0])
    within = [2.0] * 3 + [0.0] * 2 + [0.0]
    assert weights(type="mask_sequence", cap=2.5, floor=0.5) == pytest.approx(within)


def test_where_both_agree_every_weight_is_one():
    batch = batch_of_ratios(torch.ones(6, dtype=torch.float64))
    for kind in ("truncate", "mask_sequence"):
        assert importance_weights(batch, CorrectionConfig(type=kind)).tolist() == [1.0] * 6


@pytest.mark.parametrize(
    ("by", "divisors"),
    [
        ("token", [6.0] * 6),
        ("sequence", [9.0] * 3 + [6.0] * 2 + [3.0]),  # its length x 3 sequences
        ("constant", [12.0] * 6),  # 3 sequences x 4
    ],
)
def test_loss_and_gradient_are_weighed_and_the_totals_are_not(by: str, divisors: list[float]):
    batch = batch_of_ratios()
    w = importance_weights(batch, CorrectionConfig(type="truncate", cap=2.0))
    loss_T = torch.tensor([1.0, -2.0, 3.0, 0.5, 1.5, -1.0], dtype=torch.float64, requires_grad=True)
    value = aggregate(loss_T, batch.with_fields({"importance_weights": w}), by, 4)
    by_hand = [0.5 * 1, 1 * -2, 2 * 3, 0.25 * 0.5, 0.8 * 1.5, 2 * -1]
    expected = sum(x / d for x, d in zip(by_hand, divisors, strict=True))
    assert float(value.detach()) == pytest.approx(expected, abs=1e-12)
    value.backward()
    assert loss_T.grad is not None
    slopes = [v / d for v, d in zip(w.tolist(), divisors, strict=True)]
    assert loss_T.grad.tolist() == pytest.approx(slopes, abs=1e-12)


def test_no_gradient_flows_through_the_weights():
    batch = batch_of_ratios()
    live = torch.ones(6, dtype=torch.float64, requires_grad=True)
    aggregate(torch.ones(6, dtype=torch.float64, requires_grad=True), _with(batch, live)).backward()
    assert live.grad is None


def test_grpo_with_truncation_is_the_formula():
    batch, optimizer = batch_of_ratios(), GRPO(GRPOConfig(std="none", eps=0.0))
    batch = batch.with_fields(optimizer.advantages(batch))
    batch = _with(batch, importance_weights(batch, CorrectionConfig(type="truncate", cap=2.0)))
    moved = torch.tensor([0.1, -0.3, 0.05, 0.0, 0.5, -0.1], dtype=torch.float64)
    now = (batch["old_logprobs"] + moved).requires_grad_()
    loss = optimizer.loss(Outputs(logprobs=now), batch).value
    advantage = [0.5] * 3 + [-0.5] * 2 + [0.0]
    total = 0.0
    for a, step, ratio in zip(advantage, moved.tolist(), RATIOS.tolist(), strict=True):
        r = math.exp(step)
        total -= min(ratio, 2.0) * min(r * a, min(max(r, 0.8), 1.2) * a)
    assert float(loss.detach()) == pytest.approx(total / 6, abs=1e-12)


def test_a_part_of_the_rollout_keeps_its_own_weights():
    batch = batch_of_ratios()
    batch = _with(batch, importance_weights(batch, CorrectionConfig(type="truncate", cap=2.0)))
    assert batch.select([2, 0])["importance_weights"].tolist() == pytest.approx([2, 0.5, 1, 2])


def test_a_floor_goes_with_the_mask_alone():
    with pytest.raises(ValidationError, match="goes with `type: mask_sequence`"):
        CorrectionConfig(type="truncate", floor=0.5)


def _with(batch: Batch, w: torch.Tensor) -> Batch:
    return replace(batch, fields={**batch.fields, "importance_weights": w})
