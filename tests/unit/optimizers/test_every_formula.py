"""Each optimizer against its paper's formula, written out sequence by sequence in float64.

The reference below shares no code with the optimizers: plain loops over plain numbers. The learner's
own update is compared with it, so packing, micro-batches and the fused log-probs are in the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.unit.optimizers.harness import (
    annotated,
    critic_values,
    cut,
    make_learner,
    model_logprobs,
    random_case,
    updated,
)
from tests.unit.optimizers.test_grpo import gradient, tiny_llama

from palestra.optimizers.base import PolicyOptimizer
from palestra.optimizers.batch import Batch
from palestra_grpo_variants.cispo import CISPO
from palestra_grpo_variants.dapo import DAPO
from palestra_grpo_variants.dr_grpo import DrGRPO
from palestra_grpo_variants.gspo import GSPO
from palestra_grpo_variants.off_policy import OffPolicyGRPO
from palestra_grpo_variants.process import ProcessGRPO
from palestra_ppo.ppo import PPO
from palestra_reinforce.reinforce_pp import ReinforcePP, ReinforcePPBaseline
from palestra_reinforce.rloo import RLOO

Rows = list[torch.Tensor]


class Case:
    """All that a formula may ask for, sequence by sequence, in float64."""

    def __init__(self, batch: Batch, now: Rows, ref: Rows, critic: torch.nn.Module | None) -> None:
        self.now, self.old = now, [r.double() for r in cut(batch, batch["old_logprobs"])]
        self.ref = [r.detach() for r in ref]
        self.sampler = [r.double() for r in cut(batch, batch.sampler_logprobs_T)]
        self.rewards = [r.double().tolist() for r in cut(batch, batch.rewards_T)]
        self.paid = [r.tolist() for r in cut(batch, batch["paid"])]
        self.scores = [sum(row) for row in self.rewards]
        self.groups = [
            [j for j in range(len(batch)) if batch.group_S[j] == g] for g in batch.group_S
        ]
        self.values = critic_values(critic, batch) if critic is not None else []
        self.lengths = [len(row) for row in now]

    def mean(self, i: int, scores: list[float] | None = None) -> float:
        scores = scores or self.scores
        return sum(scores[j] for j in self.groups[i]) / len(self.groups[i])

    def normal(self, i: int, scores: list[float] | None = None) -> float:
        """(R - mean) / (sample deviation + 1e-4)."""
        scores = scores or self.scores
        mean = self.mean(i, scores)
        var = sum((scores[j] - mean) ** 2 for j in self.groups[i]) / (len(self.groups[i]) - 1)
        return (scores[i] - mean) / (math.sqrt(var) + 1e-4) if var > 1e-12 else 0.0


def ppo_clip(now, old, advantage, low: float, high: float):
    ratio = torch.exp(now - old)
    return torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)


def white(rows: list[list[float]]) -> list[torch.Tensor]:
    flat = [v for row in rows for v in row]
    mean = sum(flat) / len(flat)
    var = sum((v - mean) ** 2 for v in flat) / (len(flat) - 1)
    return [
        torch.tensor([(v - mean) / math.sqrt(var + 1e-8) for v in row]).double() for row in rows
    ]


def token_mean(rows: Rows) -> torch.Tensor:
    return torch.cat(rows).sum() / sum(len(r) for r in rows)


def ppo(c: Case, gamma: float, lam: float, kl: float, clip: float, value_clip: float):
    advantages, returns = [], []
    for i, rewards in enumerate(c.rewards):
        values = c.values[i].tolist()
        running, back = 0.0, []
        for t in reversed(range(len(rewards))):
            reward = rewards[t] - kl * float(c.old[i][t] - c.ref[i][t])
            after = values[t + 1] if t + 1 < len(values) else 0.0
            running = reward + gamma * after - values[t] + gamma * lam * running
            back.append(running)
        advantages.append(back[::-1])
        returns.append(torch.tensor(back[::-1]).double() + c.values[i].detach())
    actor = [-ppo_clip(c.now[i], c.old[i], a, clip, clip) for i, a in enumerate(white(advantages))]
    critic = []
    for i, value in enumerate(c.values):
        before = value.detach()
        near = torch.clamp(value, before - value_clip, before + value_clip)
        critic.append(0.5 * torch.maximum((value - returns[i]) ** 2, (near - returns[i]) ** 2))
    return token_mean(actor) + token_mean(critic)


def rloo(c: Case, kl: float):
    scores = [s - kl * float((c.old[i] - c.ref[i]).sum()) for i, s in enumerate(c.scores)]
    total = 0.0
    for i, members in enumerate(c.groups):
        others = [scores[j] for j in members if j != i]
        advantage = scores[i] - sum(others) / len(others)
        total = total - ppo_clip(c.now[i].sum(), c.old[i].sum(), advantage, 0.2, 0.2)
    return total / len(c.now)


def reinforce_pp(c: Case, kl: float):
    returns = []
    for i, rewards in enumerate(c.rewards):
        shaped = [r - kl * float(c.old[i][t] - c.ref[i][t]) for t, r in enumerate(rewards)]
        returns.append([sum(shaped[t:]) for t in range(len(shaped))])
    return token_mean(
        [-ppo_clip(c.now[i], c.old[i], a, 0.2, 0.2) for i, a in enumerate(white(returns))]
    )


def reinforce_pp_baseline(c: Case, kl: float):
    flat = [[c.scores[i] - c.mean(i)] * n for i, n in enumerate(c.lengths)]
    return token_mean(
        [
            -ppo_clip(c.now[i], c.old[i], a, 0.2, 0.2) + kl * 0.5 * (c.now[i] - c.ref[i]) ** 2
            for i, a in enumerate(white(flat))
        ]
    )


def dr_grpo(c: Case, length: int):
    total = 0.0
    for i in range(len(c.now)):
        total = total - ppo_clip(c.now[i], c.old[i], c.scores[i] - c.mean(i), 0.2, 0.2).sum()
    return total / (len(c.now) * length)


def dapo(c: Case, longest: int, buffer: int):
    scores = []
    for score, length in zip(c.scores, c.lengths, strict=True):
        safe = longest - buffer
        punishment = (
            0.0 if length <= safe else (safe - length) / buffer if length <= longest else -1
        )
        scores.append(score + punishment)
    return token_mean(
        [-ppo_clip(c.now[i], c.old[i], c.normal(i, scores), 0.2, 0.28) for i in range(len(c.now))]
    )


def gspo(c: Case, low: float, high: float):
    total = 0.0
    for i in range(len(c.now)):
        mean = (c.now[i] - c.old[i]).sum() / c.lengths[i]
        total = total - ppo_clip(mean, torch.zeros(()).double(), c.normal(i), low, high)
    return total / len(c.now)


def cispo(c: Case, bound: float):
    rows = []
    for i in range(len(c.now)):
        weight = torch.exp(c.now[i].detach() - c.old[i]).clamp(max=bound)
        rows.append(-weight * c.normal(i) * c.now[i])
    return token_mean(rows)


def process(c: Case, kl: float):
    rows = []
    for i in range(len(c.now)):
        steps = [
            r for j in c.groups[i] for r, ends in zip(c.rewards[j], c.paid[j], strict=True) if ends
        ]
        mean = sum(steps) / len(steps)
        std = math.sqrt(sum((s - mean) ** 2 for s in steps) / (len(steps) - 1)) + 1e-4
        normal = [
            (r - mean) / std if ends and std > 2e-4 else 0.0
            for r, ends in zip(c.rewards[i], c.paid[i], strict=True)
        ]
        later = torch.tensor([sum(normal[t:]) for t in range(len(normal))]).double()
        x = torch.exp(c.ref[i] - c.now[i])
        rows.append(-ppo_clip(c.now[i], c.old[i], later, 0.2, 0.2) + kl * (x - x.log() - 1))
    return torch.stack([row.mean() for row in rows]).mean()


def off_policy(c: Case, bound: float, level: str):
    rows = []
    for i in range(len(c.now)):
        apart = c.old[i] - c.sampler[i]
        weight = torch.exp(apart.sum() if level == "sequence" else apart).clamp(max=bound)
        rows.append(-weight * ppo_clip(c.now[i], c.old[i], c.normal(i), 0.2, 0.2))
    return token_mean(rows)


EQUAL: dict[str, Any] = {"critic": {"from": "policy"}}
FORMULAS: dict[str, tuple[type[PolicyOptimizer], dict[str, Any], Callable[[Case], Any]]] = {
    "ppo": (PPO, EQUAL, lambda c: ppo(c, 1.0, 0.95, 0.0, 0.2, 0.2)),
    "ppo, lambda 1, kl": (
        PPO,
        {**EQUAL, "lam": 1.0, "kl": 0.3, "value_clip": 5.0},
        lambda c: ppo(c, 1.0, 1.0, 0.3, 0.2, 5.0),
    ),
    "ppo, discounted": (
        PPO,
        {**EQUAL, "gamma": 0.9, "lam": 0.7, "clip": 0.05},
        lambda c: ppo(c, 0.9, 0.7, 0.0, 0.05, 0.2),
    ),
    "rloo": (RLOO, {}, lambda c: rloo(c, 0.0)),
    "rloo, kl": (RLOO, {"kl": 0.2}, lambda c: rloo(c, 0.2)),
    "reinforce_pp": (ReinforcePP, {}, lambda c: reinforce_pp(c, 0.0)),
    "reinforce_pp, kl": (ReinforcePP, {"kl": 0.2}, lambda c: reinforce_pp(c, 0.2)),
    "reinforce_pp_baseline": (ReinforcePPBaseline, {}, lambda c: reinforce_pp_baseline(c, 0.0)),
    "reinforce_pp_baseline, kl": (
        ReinforcePPBaseline,
        {"kl": 0.2},
        lambda c: reinforce_pp_baseline(c, 0.2),
    ),
    "dr_grpo": (DrGRPO, {"max_length": 24}, lambda c: dr_grpo(c, 24)),
    "dapo": (DAPO, {}, lambda c: dapo(c, 10**6, 1)),
    "dapo, overlong": (
        DAPO,
        {"overlong": {"max_length": 12, "buffer": 8}},
        lambda c: dapo(c, 12, 8),
    ),
    "gspo": (GSPO, {}, lambda c: gspo(c, 3e-4, 4e-4)),
    "gspo, wide": (GSPO, {"clip": 0.1, "clip_high": 0.2}, lambda c: gspo(c, 0.1, 0.2)),
    "cispo": (CISPO, {}, lambda c: cispo(c, 5.0)),
    "cispo, tight": (CISPO, {"max_ratio": 1.1}, lambda c: cispo(c, 1.1)),
    "grpo_process": (ProcessGRPO, {"aggregate": "sequence"}, lambda c: process(c, 0.0)),
    "grpo_process, kl": (
        ProcessGRPO,
        {"aggregate": "sequence", "kl": 0.04},
        lambda c: process(c, 0.04),
    ),
    "grpo_off_policy": (OffPolicyGRPO, {}, lambda c: off_policy(c, 2.0, "token")),
    "grpo_off_policy, sequence": (
        OffPolicyGRPO,
        {"level": "sequence", "max_weight": 3.0},
        lambda c: off_policy(c, 3.0, "sequence"),
    ),
}


@pytest.mark.parametrize("budget", [1, 40, 100_000])
@pytest.mark.parametrize("name", FORMULAS)
def test_loss_and_gradient_are_the_papers_for_any_micro_batches(name: str, budget: int) -> None:
    make, options, formula = FORMULAS[name]
    optimizer = make(make.Config.model_validate(options))
    learner = make_learner(optimizer, budget)
    batch = annotated(learner, optimizer, random_case())

    model = tiny_llama()
    critic = None if learner._critic is None else learner._critic.module
    case = Case(batch, model_logprobs(model, batch), model_logprobs(tiny_llama(9), batch), critic)
    want = formula(case)
    want.backward()
    want_policy = gradient(model)
    want_critic = None
    if critic is not None:
        want_critic = gradient(critic)
        critic.zero_grad()

    metrics, policy, theirs = updated(learner, optimizer, batch)
    assert metrics["loss"] == pytest.approx(float(want.detach()), abs=2e-6, rel=2e-6)
    torch.testing.assert_close(policy, want_policy, atol=3e-6, rtol=1e-5)
    assert want_policy.norm() > 1e-3  # the comparison is of something
    if want_critic is not None:
        assert theirs is not None
        torch.testing.assert_close(theirs, want_critic, atol=3e-6, rtol=1e-5)
        assert want_critic.norm() > 1e-3
