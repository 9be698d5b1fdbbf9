"""A group's prompt is run once, and nothing but the time it takes is different."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.learner.test_learner import VOCAB, make_learner, reference_logprobs, tiny_llama
from transformers import MistralConfig, MistralForCausalLM

from palestra.learner import prompts
from palestra.learner.learner import supervised_loss
from palestra.learner.packing import pack_examples
from palestra.learner.prompts import SharedPrompts, can_share
from palestra.optimizers.batch import Batch
from palestra.optimizers.grpo import GRPO, GRPOConfig


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call of the backbone costs nothing, so that small prompts pay too."""
    monkeypatch.setitem(prompts.PAYS, "cpu", 1e-9)


def groups(sizes: tuple[int, ...] = (4, 1, 6, 3), seed: int = 0) -> Batch:
    """Return a batch of groups, the members of each behind one prompt, dealt out of order."""
    random = np.random.default_rng(seed)
    pairs: list[tuple[list[int], list[int]]] = []
    for size in sizes:
        prompt = random.integers(3, VOCAB, random.integers(2, 15)).tolist()
        pairs += [
            (prompt, random.integers(3, VOCAB, random.integers(1, 12)).tolist())
            for _ in range(size)
        ]
    return pack_examples([pairs[i] for i in random.permutation(len(pairs))])


def gradient(learner, batch: Batch) -> dict[str, torch.Tensor]:
    for rows in learner._my_share(batch):
        micro = batch.select(rows)
        logprobs, _ = learner._policy(
            *prompts_padded(micro), learner.config.temperature, False, learner._shared.prefix(micro)
        )
        (-(logprobs * micro["weight"]).sum()).backward()
    return {n: p.grad.clone() for n, p in learner.model.named_parameters()}


def prompts_padded(micro: Batch):
    from palestra.learner.logprobs import padded

    return padded(micro, 0, torch.device("cpu"))


@pytest.mark.parametrize("budget", [1, 30, 10_000])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_are_those_of_whole_sequences(free: None, budget: int, temperature: float):
    model, batch = tiny_llama(), groups()
    learner = make_learner(model, token_budget=budget, temperature=temperature)
    got = learner.annotate(batch, frozenset({"old_logprobs"}))["old_logprobs"]
    torch.testing.assert_close(
        got, reference_logprobs(model, batch, temperature), atol=1e-5, rtol=1e-5
    )
    assert learner._policy._shares is (True if budget > 1 else None)


@pytest.mark.parametrize("kl", [0.0, 0.1])
def test_an_update_is_that_of_whole_sequences(monkeypatch: pytest.MonkeyPatch, kl: float):
    optimizer = GRPO(GRPOConfig(kl=kl))
    batch = groups((4, 4, 4))
    scores = torch.rand(len(batch), generator=torch.Generator().manual_seed(3))
    order = [
        ids[: int(mask.argmax())].tobytes()
        for ids, mask in zip(batch.token_ids, batch.loss_mask, strict=True)
    ]
    numbers = torch.tensor([sorted(set(order)).index(o) for o in order])
    batch = Batch(
        **{f: getattr(batch, f) for f in batch.__slots__} | {"scores_S": scores, "group_S": numbers}
    )
    batch = batch.with_fields(optimizer.advantages(batch))
    after = []
    for cost in (1e-9, 1e18):
        monkeypatch.setitem(prompts.PAYS, "cpu", cost)
        learner = make_learner(tiny_llama(), keep_reference=bool(kl), token_budget=200)
        rollout = learner.annotate(batch, frozenset({"ref_logprobs"} if kl else ()))
        metrics = learner.update(rollout, optimizer.loss)
        after.append(
            (metrics, {n: p.detach().clone() for n, p in learner.model.named_parameters()})
        )
        assert learner._policy._shares is (True if cost < 1 else None)
    (one, shared), (two, whole) = after
    for name in one:
        assert one[name] == pytest.approx(two[name], abs=1e-5)
    for name in shared:
        torch.testing.assert_close(shared[name], whole[name], atol=2e-5, rtol=1e-4)


def test_the_gradient_flows_back_into_the_prompt(monkeypatch: pytest.MonkeyPatch):
    found, batch = [], groups()
    weight = torch.rand(len(batch.sequence_T), generator=torch.Generator().manual_seed(1))
    for cost in (1e-9, 1e18):
        monkeypatch.setitem(prompts.PAYS, "cpu", cost)
        learner = make_learner(tiny_llama(), token_budget=300)
        found.append(gradient(learner, batch.with_fields({"weight": weight})))
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], atol=1e-5, rtol=1e-4)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(0, 50), st.integers(1, 200))
def test_every_sequence_is_in_one_micro_batch(sizes: list[int], seed: int, budget: int):
    batch = groups(tuple(sizes), seed)
    shared = SharedPrompts.where_it_pays(10**12, "cpu")
    dealt = shared.micro_batches(batch, range(len(batch)), budget)
    assert sorted(row for micro in dealt for row in micro) == list(range(len(batch)))
    for micro in dealt:
        own = batch.select(micro)
        prefix = shared.prefix(own)
        width = max(len(ids) for ids in own.token_ids)
        assert len(micro) == 1 or prefix + (width - prefix) * len(micro) <= budget


def test_a_model_too_small_to_gain_is_dealt_as_if_prompts_were_not_shared():
    batch = groups()
    learner = make_learner(tiny_llama(), token_budget=100)
    learner.update(batch, supervised_loss)
    assert learner._policy._shares is None
    assert learner._shared.prefix(batch.select([0])) == 0


def test_layers_that_look_back_a_little_only_do_not_share():
    config = MistralConfig(vocab_size=VOCAB, hidden_size=32, sliding_window=8)
    assert not can_share(config)
    assert can_share(tiny_llama().config)


@pytest.fixture
def window() -> MistralForCausalLM:
    torch.manual_seed(0)
    return MistralForCausalLM(
        MistralConfig(
            vocab_size=VOCAB,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            sliding_window=4,
        )
    ).eval()


def test_a_model_with_a_window_is_right_all_the_same(free: None, window: MistralForCausalLM):
    batch = groups()
    learner = make_learner(window, token_budget=300)
    got = learner.annotate(batch, frozenset({"old_logprobs"}))["old_logprobs"]
    torch.testing.assert_close(got, reference_logprobs(window, batch, 1.0), atol=1e-5, rtol=1e-5)
    assert learner._policy._shares is False
