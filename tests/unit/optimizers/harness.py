"""What the tests of optimizers share: a small random case, and the learner's own gradient of it."""

from __future__ import annotations

from dataclasses import replace

import torch
from accelerate import Accelerator
from tests.unit.optimizers.test_grpo import (
    LENGTHS,
    SCORES,
    TEMPERATURE,
    gradient,
    make_batch,
    old_logprobs,
    tiny_llama,
)

from palestra.learner.config import OptimConfig
from palestra.learner.learner import Learner, LearnerConfig
from palestra.optimizers.base import Outputs, PolicyOptimizer
from palestra.optimizers.batch import Batch

GROUP = 4


def random_case() -> Batch:
    """Return three groups of four, with rewards on the way and at the end, and old log-probs."""
    batch = make_batch(LENGTHS, SCORES, GROUP)
    noise = torch.Generator().manual_seed(5)
    tokens = len(batch.rewards_T)
    on_the_way = torch.rand(tokens, generator=noise) < 0.2
    on_the_way[batch.lengths_S[:8].sum() :] = False  # the last group's rewards stay equal
    dense = on_the_way * torch.randn(tokens, generator=noise)
    paid = on_the_way.clone()
    paid[batch.lengths_S.cumsum(0) - 1] = True
    batch = replace(
        batch,
        rewards_T=batch.rewards_T + dense,
        scores_S=batch.scores_S + torch.zeros(len(batch)).index_add(0, batch.sequence_T, dense),
    )
    old = old_logprobs(batch)
    sampler = old.float() + torch.randn(tokens, generator=noise) * 0.7
    return replace(batch, sampler_logprobs_T=sampler).with_fields(
        {"paid": paid, "old_logprobs": old}
    )


def make_learner(optimizer: PolicyOptimizer, budget: int = 100_000, **optim: float) -> Learner:
    """Return a learner of a float64 model, its reference and critic far from saying 0."""
    model = tiny_llama()
    critic = optimizer.critic(model)
    if critic is not None:
        noise = torch.Generator().manual_seed(11)
        with torch.no_grad():
            for p in critic.double().parameters():
                p.add_(torch.randn(p.shape, generator=noise, dtype=p.dtype) * 0.1)
    learner = Learner(
        model,
        Accelerator(cpu=True),
        LearnerConfig(
            optim=OptimConfig(**{"learning_rate": 1e-3, "max_grad_norm": 1e9, **optim}),
            total_updates=9,
            token_budget=budget,
            temperature=TEMPERATURE,
            keep_reference="ref_logprobs" in optimizer.needs,
            skip_zero_advantage=optimizer.zero_advantage_is_zero_loss,
            critic_learning_rate=optimizer.critic_learning_rate,
        ),
        pad=0,
        critic=critic,
    )
    if learner._reference is not None:
        learner._reference.model.load_state_dict(tiny_llama(9).state_dict())
    return learner


def annotated(learner: Learner, optimizer: PolicyOptimizer, batch: Batch) -> Batch:
    """Fill in what the optimizer needs, and its advantages, as a step does."""
    batch = learner.annotate(batch, optimizer.needs & {"ref_logprobs", "values"})
    return batch.with_fields(optimizer.advantages(batch))


def updated(
    learner: Learner, optimizer: PolicyOptimizer, batch: Batch
) -> tuple[dict[str, float], torch.Tensor, torch.Tensor | None]:
    """Return metrics and gradients (the policy's, the critic's) that an update ends with."""
    learner._optimizer.step = learner._optimizer.zero_grad = lambda: None
    critic = learner._critic
    if critic is not None:
        critic._optimizer.step = critic._optimizer.zero_grad = lambda: None
    metrics = learner.update(batch, optimizer.loss)
    theirs = None if critic is None else gradient(critic.module)  # type: ignore[arg-type]
    return metrics, gradient(learner.model), theirs


def model_logprobs(model: torch.nn.Module, batch: Batch) -> list[torch.Tensor]:
    """Return the live log-probs of each sequence, from plain logits in float64."""
    out = []
    for ids, mask in zip(batch.token_ids, batch.loss_mask, strict=True):
        row = torch.tensor(ids)
        logits = model(input_ids=row[None]).logits[0].double() / TEMPERATURE
        every = logits[:-1].log_softmax(-1).gather(-1, row[1:, None])[:, 0]
        out.append(every[torch.tensor(mask)[1:]])
    return out


def critic_values(critic: torch.nn.Module, batch: Batch) -> list[torch.Tensor]:
    """Return the live values of each sequence: of the state that each policy token is chosen in."""
    out = []
    for ids, mask in zip(batch.token_ids, batch.loss_mask, strict=True):
        out.append(critic(torch.tensor(ids)[None])[0][:-1][torch.tensor(mask)[1:]])
    return out


def cut(batch: Batch, values_T: torch.Tensor) -> list[torch.Tensor]:
    """Return a (T,) tensor sequence by sequence."""
    return list(values_T.split(batch.lengths_S.tolist()))


def outputs(batch: Batch, seed: int = 1) -> Outputs:
    """Return log-probs and values out of a hat, live."""
    noise = torch.Generator().manual_seed(seed)
    tokens = len(batch.sequence_T)
    return Outputs(
        logprobs=(-torch.rand(tokens, generator=noise, dtype=torch.float64)).requires_grad_(),
        values=torch.randn(tokens, generator=noise, dtype=torch.float64).requires_grad_(),
    )
