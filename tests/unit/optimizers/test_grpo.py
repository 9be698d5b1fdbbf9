"""GRPO against golden values of the papers, and the whole learner path against its formula."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from palestra.learner.config import OptimConfig
from palestra.learner.learner import Learner, LearnerConfig
from palestra.optimizers.base import Outputs, aggregate
from palestra.optimizers.batch import Batch, Totals
from palestra.optimizers.grpo import GRPO, GRPOConfig

VOCAB = 64


def tiny_llama(seed: int = 0, dtype: torch.dtype = torch.float64) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        initializer_range=0.2,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).to(dtype).eval()


def make_batch(
    lengths: list[tuple[int, int]], scores: list[float], group_size: int, seed: int = 0
) -> Batch:
    """Return sequences of (prompt, completion) lengths; the policy's tokens are the last ones."""
    random = np.random.default_rng(seed)
    ids = tuple(random.integers(1, VOCAB, p + c) for p, c in lengths)
    masks = tuple(np.arange(p + c) >= p for p, c in lengths)
    own = torch.tensor([c for _, c in lengths])
    tokens = int(own.sum())
    at = torch.zeros(tokens)
    at[own.cumsum(0) - 1] = torch.tensor(scores)
    return Batch(
        token_ids=ids,
        loss_mask=masks,
        rewards_T=at,
        scores_S=torch.tensor(scores),
        sequence_T=torch.repeat_interleave(torch.arange(len(lengths)), own),
        group_S=torch.arange(len(lengths)) // group_size,
        source_S=torch.zeros(len(lengths), dtype=torch.long),
        turn_T=torch.zeros(tokens, dtype=torch.long),
        version_T=torch.zeros(tokens, dtype=torch.long),
        sampler_logprobs_T=torch.zeros(tokens),
        total=Totals(tokens, len(lengths)),
    )


def advantages_of(scores: list[float], **options: object) -> list[float]:
    batch = make_batch([(1, 1)] * len(scores), scores, len(scores))
    return GRPO(GRPOConfig(**options)).advantages(batch)["advantages"].tolist()


# --- golden values ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("std", "eps", "first", "others"),
    [
        ("population", 0.0, 1.7320508, -0.5773503),
        ("sample", 0.0, 1.5, -0.5),
        ("sample", 1e-4, 1.4997001, -0.4999000),
        ("none", 0.0, 0.75, -0.25),
    ],
)
def test_advantages_are_the_golden_ones(std: str, eps: float, first: float, others: float):
    got = advantages_of([1.0, 0.0, 0.0, 0.0], std=std, eps=eps)
    assert got == pytest.approx([first, others, others, others], abs=1e-6)


@pytest.mark.parametrize("std", ["sample", "population", "none"])
@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, 1.1, -3.7])
@pytest.mark.parametrize("eps", [0.0, 1e-4])
def test_a_group_with_equal_rewards_gets_zeros(std: str, reward: float, eps: float):
    assert advantages_of([reward] * 7, std=std, eps=eps) == [0.0] * 7


def test_a_group_of_one_gets_zero_not_nan():
    assert advantages_of([3.0]) == [0.0]


@given(
    st.lists(st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=6), min_size=1, max_size=4)
)
def test_advantages_are_of_each_group_alone_and_on_every_token(groups: list[list[float]]):
    scores = [s for g in groups for s in g]
    lengths = [(2, 1 + i % 4) for i in range(len(scores))]
    batch = make_batch(lengths, scores, 1)
    numbers = torch.tensor([7 * n for n, g in enumerate(groups) for _ in g])  # any numbers will do
    batch = Batch(**{f: getattr(batch, f) for f in batch.__slots__} | {"group_S": numbers})
    got = GRPO(GRPOConfig(std="sample", eps=1e-4)).advantages(batch)["advantages"]
    want = []
    for group in groups:
        # What a float32 reward holds, in float64.
        rewards = np.array(group, dtype=np.float32).astype(np.float64)
        centred = rewards - rewards.mean()
        centred[np.abs(centred) < 1e-7] = 0
        want += list(centred / (rewards.std(ddof=1) + 1e-4))
    spread = [a for a, (_, c) in zip(want, lengths, strict=True) for _ in range(c)]
    np.testing.assert_allclose(got.numpy(), spread, rtol=1e-4, atol=1e-5)


def one_token(now: float, old: float, advantage: float, ref: float | None = None) -> Batch:
    fields = {"old_logprobs": torch.tensor([old]), "advantages": torch.tensor([advantage])}
    if ref is not None:
        fields["ref_logprobs"] = torch.tensor([ref])
    return make_batch([(1, 1)], [0.0], 1).with_fields(fields)


def loss_of(ratio: float, advantage: float, **options: object) -> tuple[float, dict[str, float]]:
    old = -1.0
    now = torch.tensor([old + float(np.log(ratio))])
    loss = GRPO(GRPOConfig(**options)).loss(
        Outputs(logprobs=now), one_token(float(now), old, advantage)
    )
    return float(loss.value), {k: float(v.sum()) for k, v in loss.metrics.items()}


@pytest.mark.parametrize(
    ("clip", "clip_high", "ratio", "advantage", "objective", "cut"),
    [
        (10.0, None, 15.0, 1.0, 11.0, 1.0),
        (10.0, None, 0.01, -1.0, -0.01, 0.0),
        (0.2, 0.28, 1.5, 1.0, 1.28, 1.0),  # DAPO
        (0.2, 0.28, 1.5, -1.0, -1.5, 0.0),
        (0.2, 0.28, 0.5, 1.0, 0.5, 0.0),
        (0.2, 0.28, 0.5, -1.0, -0.8, 1.0),
        (0.2, None, 1.1, 1.0, 1.1, 0.0),
    ],
)
def test_the_clipped_objective_is_the_golden_one(
    clip: float, clip_high: float | None, ratio: float, advantage: float, objective: float, cut: int
):
    value, metrics = loss_of(ratio, advantage, clip=clip, clip_high=clip_high)
    assert value == pytest.approx(-objective, rel=1e-5)
    assert metrics["clip_share"] == cut


@pytest.mark.parametrize(("x", "k3"), [(0.5, 0.1931472), (2.0, 0.3068528), (1.0, 0.0)])
def test_k3_is_the_golden_one(x: float, k3: float):
    now = torch.tensor([-1.3], dtype=torch.float64)
    batch = one_token(-1.3, -1.3, 0.0, ref=0.0).with_fields(
        {"ref_logprobs": now + np.log(x), "old_logprobs": now, "advantages": now * 0}
    )
    loss = GRPO(GRPOConfig(kl=1.0)).loss(Outputs(logprobs=now), batch)
    assert float(loss.value) == pytest.approx(k3, abs=1e-7)
    assert float(loss.metrics["kl"]) == pytest.approx(k3, abs=1e-7)


@pytest.mark.parametrize(
    ("by", "constant", "mean"),
    [("sequence", None, 1.5), ("token", None, 1.75), ("constant", 4, 0.875)],
)
def test_token_losses_are_averaged_as_the_papers_do(by: str, constant: int | None, mean: float):
    batch = make_batch([(1, 1), (1, 3)], [0.0, 0.0], 2)
    losses = torch.tensor([1.0, 2.0, 2.0, 2.0])
    assert float(aggregate(losses, batch, by, constant)) == pytest.approx(mean, rel=1e-6)
    # The shares of micro-batches add up to it.
    halves = [(batch.select([0]), losses[:1]), (batch.select([1]), losses[1:])]
    total = sum(float(aggregate(part, b, by, constant)) for b, part in halves)
    assert total == pytest.approx(mean, rel=1e-6)


def test_a_constant_aggregate_without_its_constant_is_refused():
    with pytest.raises(ValueError, match="constant"):
        aggregate(torch.zeros(1), make_batch([(1, 1)], [0.0], 1), "constant")


# --- the learner's path against the formula ---------------------------------------------------

LENGTHS = [
    (5, 7),
    (5, 1),
    (5, 12),
    (5, 3),
    (9, 4),
    (9, 4),
    (9, 20),
    (9, 2),
    (2, 6),
    (2, 9),
    (2, 1),
    (2, 5),
]
SCORES = [1.0, 0.0, 0.0, 0.5, 0.1, 1.1, 0.1, 0.0, 0.7, 0.7, 0.7, 0.7]  # the last group is equal
TEMPERATURE = 0.7


def reference_loss(
    model: LlamaForCausalLM,
    batch: Batch,
    old: list[torch.Tensor] | None,
    ref: LlamaForCausalLM | None,
    config: GRPOConfig,
) -> torch.Tensor:
    """The loss as DeepSeekMath writes it, sequence by sequence, with plain logits in float64."""

    def logprobs(net: LlamaForCausalLM, i: int) -> torch.Tensor:
        ids = torch.tensor(batch.token_ids[i])
        logits = net(input_ids=ids[None]).logits[0].double() / TEMPERATURE
        every = logits[:-1].log_softmax(-1).gather(-1, ids[1:, None])[:, 0]
        return every[torch.tensor(batch.loss_mask[i])[1:]]

    scores = batch.scores_S.double()
    per_sequence, lengths = [], []
    for i in range(len(batch)):
        same = scores[batch.group_S == batch.group_S[i]]
        centred = scores[i] - same.mean()
        if abs(float(centred)) < 1e-7:
            centred = centred * 0
        spread = same.std(unbiased=config.std == "sample") + config.eps
        advantage = centred if config.std == "none" else centred / spread
        now = logprobs(model, i)
        ratio = (now - (now.detach() if old is None else old[i])).exp()
        high = config.clip_high or config.clip
        value = torch.minimum(ratio * advantage, ratio.clamp(1 - config.clip, 1 + high) * advantage)
        if config.kl and ref is not None:
            with torch.no_grad():
                theirs = logprobs(ref, i)
            x = (theirs - now).exp()
            value = value - config.kl * (x - x.log() - 1)
        per_sequence.append(-value)
        lengths.append(len(now))
    if config.aggregate == "token":
        return torch.cat(per_sequence).sum() / sum(lengths)
    if config.aggregate == "sequence":
        return torch.stack([v.mean() for v in per_sequence]).mean()
    assert config.constant_length is not None
    return torch.cat(per_sequence).sum() / (len(batch) * config.constant_length)


def gradient(model: LlamaForCausalLM) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def learner_gradient(
    batch: Batch, config: GRPOConfig, budget: int, *, stale: bool, skip: bool = True
) -> tuple[float, torch.Tensor]:
    """Return the loss and the gradient that the learner's own update ends with."""
    optimizer = GRPO(config)
    learner = Learner(
        tiny_llama(),
        Accelerator(cpu=True),
        LearnerConfig(
            optim=OptimConfig(learning_rate=1e-3, max_grad_norm=1e9),
            total_updates=1,
            token_budget=budget,
            temperature=TEMPERATURE,
            keep_reference=True,
            skip_zero_advantage=skip and optimizer.zero_advantage_is_zero_loss,
        ),
        pad=0,
    )
    assert learner._reference is not None
    learner._reference.model.load_state_dict(tiny_llama(9).state_dict())
    learner._optimizer.step = learner._optimizer.zero_grad = lambda: None  # keep the gradient
    batch = learner.annotate(batch, optimizer.needs - {"old_logprobs"})
    if stale:
        batch = batch.with_fields({"old_logprobs": old_logprobs(batch)})
    batch = batch.with_fields(optimizer.advantages(batch))
    metrics = learner.update(batch, optimizer.loss)
    return metrics["loss"], gradient(learner.model)


def old_logprobs(batch: Batch) -> torch.Tensor:
    """Log-probs of other weights, far enough away for the clip to bite."""
    return torch.cat(split_old(batch))


def split_old(batch: Batch) -> list[torch.Tensor]:
    other = tiny_llama(0)
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(torch.randn(p.shape, generator=noise, dtype=p.dtype) * 0.02)
    out = []
    for ids, mask in zip(batch.token_ids, batch.loss_mask, strict=True):
        row = torch.tensor(ids)
        with torch.no_grad():
            logits = other(input_ids=row[None]).logits[0] / TEMPERATURE
        every = logits[:-1].log_softmax(-1).gather(-1, row[1:, None])[:, 0]
        out.append(every[torch.tensor(mask)[1:]])
    return out


CONFIGS = {
    "plain": GRPOConfig(),
    "kl": GRPOConfig(kl=0.04),
    "sequence": GRPOConfig(aggregate="sequence", kl=0.1, std="population", eps=0.0),
    "r1": GRPOConfig(clip=10.0, kl=0.001),
    "dr_grpo": GRPOConfig(aggregate="constant", constant_length=24, std="none"),
    "clip_higher": GRPOConfig(clip=0.05, clip_high=0.1),
}


@pytest.mark.parametrize("budget", [1, 30, 100_000])
@pytest.mark.parametrize("stale", [False, True], ids=["on_policy", "stale"])
@pytest.mark.parametrize("name", CONFIGS)
def test_loss_and_gradient_are_the_formulas(name: str, stale: bool, budget: int):
    config, batch = CONFIGS[name], make_batch(LENGTHS, SCORES, 4)
    if config.eps == 0.0:  # the formula divides 0 by 0 for equal rewards; we say 0
        batch = batch.select(range(8), Totals(int(batch.lengths_S[:8].sum()), 8))
    model = tiny_llama()
    want = reference_loss(model, batch, split_old(batch) if stale else None, tiny_llama(9), config)
    want.backward()
    loss, grad = learner_gradient(batch, config, budget, stale=stale)
    assert loss == pytest.approx(float(want.detach()), abs=1e-6)
    torch.testing.assert_close(grad, gradient(model), atol=1e-6, rtol=1e-6)
    assert gradient(model).norm() > 1e-3  # the comparison is of something


def test_the_stale_batch_of_these_tests_is_clipped_somewhere():
    batch = make_batch(LENGTHS, SCORES, 4)
    optimizer = GRPO(CONFIGS["clip_higher"])
    batch = batch.with_fields({"old_logprobs": old_logprobs(batch), **optimizer.advantages(batch)})
    now = torch.cat([row.double() for row in split_now(batch)])
    share = optimizer.loss(Outputs(logprobs=now), batch).metrics["clip_share"]
    assert 0.05 < float(share.mean()) < 0.95


def split_now(batch: Batch) -> list[torch.Tensor]:
    out, model = [], tiny_llama()
    for ids, mask in zip(batch.token_ids, batch.loss_mask, strict=True):
        row = torch.tensor(ids)
        with torch.no_grad():
            every = (model(input_ids=row[None]).logits[0, :-1] / TEMPERATURE).log_softmax(-1)
        out.append(every.gather(-1, row[1:, None])[:, 0][torch.tensor(mask)[1:]])
    return out


BASE = make_batch(LENGTHS, SCORES, 4)


@functools.cache
def in_one_piece(stale: bool) -> tuple[float, torch.Tensor]:
    return learner_gradient(BASE, CONFIGS["plain"], 100_000, stale=stale, skip=False)


@settings(max_examples=15, deadline=None)
@given(
    order=st.permutations(range(len(LENGTHS))),
    budget=st.integers(1, 400),
    stale=st.booleans(),
    skip=st.booleans(),
)
def test_gradient_is_the_same_for_any_micro_batch_and_order(
    order: list[int], budget: int, stale: bool, skip: bool
):
    loss, grad = learner_gradient(
        BASE.select(order), CONFIGS["plain"], budget, stale=stale, skip=skip
    )
    want_loss, want = in_one_piece(stale)
    assert loss == pytest.approx(want_loss, abs=1e-9 if not stale else 1e-7)
    torch.testing.assert_close(grad, want, atol=1e-8, rtol=1e-6)


def test_mini_batches_hold_every_sequence_once_and_count_their_own_totals():
    batch = make_batch(LENGTHS, SCORES, 4)
    parts = batch.mini_batches(5, np.random.default_rng(0))
    seen = sorted(ids.tobytes() for part in parts for ids in part.token_ids)
    assert seen == sorted(ids.tobytes() for ids in batch.token_ids)
    assert sum(p.total.tokens for p in parts) == batch.total.tokens
    for part in parts:
        assert part.total == Totals(int(part.lengths_S.sum()), len(part))
    again = batch.mini_batches(5, np.random.default_rng(0))
    assert [p.token_ids[0].tolist() for p in parts] == [p.token_ids[0].tolist() for p in again]


def test_more_mini_batches_than_sequences_make_no_empty_update():
    batch = make_batch(LENGTHS[:3], SCORES[:3], 3)
    assert [len(p) for p in batch.mini_batches(8, np.random.default_rng(0))] == [1, 1, 1]


def test_one_mini_batch_is_the_rollout_in_its_order():
    batch = make_batch(LENGTHS, SCORES, 4)
    (only,) = batch.mini_batches(1, np.random.default_rng(0))
    assert all(np.array_equal(a, b) for a, b in zip(only.token_ids, batch.token_ids, strict=True))


def test_a_selection_keeps_each_sequences_tokens_together():
    batch = make_batch(LENGTHS, SCORES, 4)
    picked = batch.select([6, 0, 6])
    assert picked.lengths_S.tolist() == [20, 7, 20]
    assert picked.scores_S.tolist() == pytest.approx([0.1, 1.0, 0.1])
    assert picked.rewards_T.nonzero().flatten().tolist() == [19, 26, 46]
    assert picked.total == batch.total


def test_what_the_optimizer_needs_depends_on_its_config():
    assert GRPO(GRPOConfig()).needs == {"old_logprobs"}
    assert GRPO(GRPOConfig()).zero_advantage_is_zero_loss
    with_kl = GRPO(GRPOConfig(kl=0.1))
    assert with_kl.needs == {"old_logprobs", "ref_logprobs"}
    assert not with_kl.zero_advantage_is_zero_loss


@pytest.mark.parametrize(
    "options",
    [{"clip": 0}, {"clip": -1}, {"kl": -0.1}, {"eps": -1}, {"std": "robust"}, {"klip": 0.2}],
)
def test_a_bad_option_is_refused(options: dict[str, object]):
    with pytest.raises(ValueError):
        GRPOConfig(**options)
