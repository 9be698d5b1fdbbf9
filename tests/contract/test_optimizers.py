"""What every registered policy optimizer promises, whoever wrote it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest
import torch

from palestra.optimizers.base import Outputs, PolicyOptimizer
from palestra.optimizers.batch import Batch
from palestra.plugins.registry import Kind, get_registry
from tests.unit.optimizers.harness import annotated, make_learner, outputs, random_case, updated
from tests.unit.optimizers.test_grpo import make_batch

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "grpo": [{}, {"kl": 0.1}],
    "ppo": [{"critic": {"from": "policy"}}, {"critic": {"from": "policy"}, "kl": 0.1}],
    "rloo": [{}, {"kl": 0.1}],
    "reinforce_pp": [{}, {"kl": 0.1}],
    "reinforce_pp_baseline": [{}, {"kl": 0.1}],
    "dr_grpo": [{"max_length": 16}],
    "dapo": [{}, {"overlong": {"max_length": 10, "buffer": 5}}],
    "grpo_process": [{}, {"kl": 0.1}],
    "grpo_off_policy": [{}, {"kl": 0.1}],
}
"""Options that cannot be left out, and those that change what an optimizer needs."""

KNOWN = {"old_logprobs", "ref_logprobs", "values", "entropy"}


class Watched(dict[str, torch.Tensor]):
    """Fields that remember which of them were read."""

    def __init__(self, fields: Any) -> None:
        super().__init__(fields)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> torch.Tensor:
        self.read.add(name)
        return super().__getitem__(name)


def made(name: str, options: dict[str, Any]) -> PolicyOptimizer:
    factory = cast("type[PolicyOptimizer]", get_registry().load(Kind.POLICY_OPTIMIZER, name))
    return factory(factory.Config.model_validate(options))


def every() -> list[Any]:
    names = get_registry().names(Kind.POLICY_OPTIMIZER)
    return [
        pytest.param(made(name, options), id=f"{name}{i or ''}")
        for name in names
        for i, options in enumerate(OPTIONS.get(name, [{}]))
    ]


EVERY = every()


def filled(optimizer: PolicyOptimizer, batch: Batch) -> Batch:
    """Return a rollout with what the optimizer needs, out of a hat, and its advantages."""
    noise = torch.Generator().manual_seed(2)
    tokens = len(batch.sequence_T)
    fields = {n: -torch.rand(tokens, generator=noise) for n in optimizer.needs - {"entropy"}}
    if not optimizer.advantages_need_old_logprobs:
        fields.pop("old_logprobs", None)
    batch = replace(batch, fields={"paid": batch["paid"], **fields})
    batch = batch.with_fields(optimizer.advantages(batch))
    return batch.with_fields({"old_logprobs": -torch.rand(tokens, generator=noise)})


def paid_at_the_end(lengths: list[tuple[int, int]], scores: list[float], group: int) -> Batch:
    batch = make_batch(lengths, scores, group)
    paid = torch.zeros(len(batch.sequence_T), dtype=torch.bool)
    paid[batch.lengths_S.cumsum(0) - 1] = True
    return batch.with_fields({"paid": paid})


def test_there_are_as_many_as_the_documentation_says() -> None:
    assert len(get_registry().names(Kind.POLICY_OPTIMIZER)) >= 11


@pytest.mark.parametrize("optimizer", EVERY)
def test_every_needed_field_has_a_known_name_and_is_all_that_is_read(
    optimizer: PolicyOptimizer,
) -> None:
    assert optimizer.needs <= KNOWN
    batch = filled(optimizer, random_case())
    own = set(batch.fields) - KNOWN
    fields = Watched(batch.fields)
    batch = replace(batch, fields=fields)
    optimizer.loss(outputs(batch), batch)
    assert fields.read <= optimizer.needs | own
    assert "advantages" in own


@pytest.mark.parametrize("optimizer", EVERY)
def test_advantages_are_finite_and_leave_the_rollout_as_it_was(optimizer: PolicyOptimizer) -> None:
    batch = random_case()
    before = batch.rewards_T.clone(), batch.scores_S.clone()
    done = filled(optimizer, batch)
    for name in set(done.fields) - KNOWN:
        assert done[name].shape == batch.sequence_T.shape
        assert torch.isfinite(done[name].double()).all()
    assert torch.equal(batch.rewards_T, before[0])
    assert torch.equal(batch.scores_S, before[1])


@pytest.mark.parametrize("optimizer", EVERY)
@pytest.mark.parametrize(
    "batch",
    [
        random_case(),
        paid_at_the_end([(1, 1)] * 4, [1.0, 0.0, 0.5, 0.0], 4),
        paid_at_the_end([(2, 3), (2, 1)], [1.0, 1.0], 2),
        paid_at_the_end([(2, 3)], [1.0], 1),
        paid_at_the_end([(1, 1)], [0.0], 1),
    ],
    ids=["random", "one token each", "equal rewards", "a group of one", "one token in all"],
)
def test_the_loss_is_finite_and_so_is_its_gradient(
    optimizer: PolicyOptimizer, batch: Batch
) -> None:
    batch = filled(optimizer, batch)
    now = outputs(batch)
    loss = optimizer.loss(now, batch)
    assert loss.value.shape == ()
    loss.value.backward()
    assert now.logprobs.grad is not None
    assert torch.isfinite(loss.value)
    assert torch.isfinite(now.logprobs.grad).all()
    for name, metric in loss.metrics.items():
        assert metric.shape == batch.sequence_T.shape, name


@pytest.mark.parametrize("optimizer", EVERY)
def test_micro_batches_add_up_to_the_whole(optimizer: PolicyOptimizer) -> None:
    batch = filled(optimizer, random_case())
    now = outputs(batch)
    assert now.values is not None
    whole = float(optimizer.loss(now, batch).value.detach())
    total = 0.0
    for row in range(len(batch)):
        own = batch.sequence_T == row
        part = Outputs(logprobs=now.logprobs[own], values=now.values[own])
        total += float(optimizer.loss(part, batch.select([row])).value.detach())
    assert total == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("optimizer", EVERY)
def test_the_claim_that_no_advantage_is_no_loss_is_true(optimizer: PolicyOptimizer) -> None:
    batch = filled(optimizer, random_case())
    now = outputs(batch)
    silent = batch.with_fields({"advantages": batch["advantages"] * 0})
    optimizer.loss(now, silent).value.backward()
    assert now.logprobs.grad is not None
    gradient = now.logprobs.grad.abs().sum()
    if now.values is not None and now.values.grad is not None:
        gradient = gradient + now.values.grad.abs().sum()
    assert (float(gradient) == 0.0) == optimizer.zero_advantage_is_zero_loss


@pytest.mark.parametrize("optimizer", EVERY)
def test_state_comes_back_through_json(optimizer: PolicyOptimizer) -> None:
    state = json.loads(json.dumps(optimizer.state_dict()))
    again = type(optimizer)(optimizer.config)
    again.load_state_dict(state)
    assert again.state_dict() == optimizer.state_dict()
    batch = random_case()
    for name, value in filled(optimizer, batch).fields.items():
        assert torch.equal(filled(again, batch)[name], value)


@pytest.mark.parametrize("optimizer", EVERY)
def test_an_update_of_the_learner_raises_what_was_rewarded(optimizer: PolicyOptimizer) -> None:
    """On policy, and against the gradient: the sum of A log p must not fall."""
    learner = make_learner(optimizer, budget=50, learning_rate=1e-4)
    batch = annotated(learner, optimizer, random_case())
    fields = {k: v for k, v in batch.fields.items() if k != "old_logprobs"}
    batch = replace(batch, fields=fields)
    before = learner.annotate(batch, frozenset({"old_logprobs"}))["old_logprobs"]
    metrics = learner.update(batch, optimizer.loss)
    after = learner.annotate(batch, frozenset({"old_logprobs"}))["old_logprobs"]
    assert metrics["grad_norm"] > 0
    assert float(((after - before) * batch["advantages"]).sum()) > 0


@pytest.mark.parametrize("optimizer", EVERY)
def test_a_critic_is_there_exactly_where_values_are_needed(optimizer: PolicyOptimizer) -> None:
    learner = make_learner(optimizer)
    assert (learner._critic is not None) == ("values" in optimizer.needs)
    if learner._critic is not None:
        _, _, critic = updated(learner, optimizer, annotated(learner, optimizer, random_case()))
        assert critic is not None
        assert float(critic.norm()) > 0
