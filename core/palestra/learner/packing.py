"""From trajectories to batches, and from batches to micro-batches within a token budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from palestra.optimizers.batch import Batch, Totals
from palestra.rollout.trajectory import Group

if TYPE_CHECKING:
    from accelerate import Accelerator


def pack(groups: Sequence[Group]) -> Batch:
    """Pack the valid members of `groups`, in their order."""
    members = [(g, m) for g in groups for m in g.valid]
    rewards: list[NDArray[np.float64]] = []
    paid: list[NDArray[np.bool_]] = []
    turns: list[NDArray[np.int64]] = []
    for _, m in members:
        at, falls = np.zeros(len(m.token_ids)), np.zeros(len(m.token_ids), dtype=np.bool_)
        for token, value in m.rewards:
            at[token] += value
            falls[token] = True
        rewards.append(at[m.loss_mask])
        paid.append(falls[m.loss_mask])
        # A turn begins where policy tokens follow others.
        starts = np.diff(m.loss_mask.astype(np.int64), prepend=0) == 1
        turns.append((np.cumsum(starts) - 1)[m.loss_mask])
    lengths = torch.tensor([m.length for _, m in members])
    return Batch(
        token_ids=tuple(m.token_ids for _, m in members),
        loss_mask=tuple(m.loss_mask for _, m in members),
        rewards_T=torch.tensor(np.concatenate(rewards), dtype=torch.float32),
        scores_S=torch.tensor([m.reward for _, m in members], dtype=torch.float32),
        sequence_T=torch.repeat_interleave(torch.arange(len(members)), lengths),
        group_S=torch.tensor([g.number for g, _ in members]),
        source_S=torch.tensor([g.source for g, _ in members]),
        turn_T=torch.tensor(np.concatenate(turns)),
        version_T=torch.tensor(np.concatenate([m.versions[m.loss_mask] for _, m in members])),
        sampler_logprobs_T=torch.tensor(
            np.concatenate([m.sampler_logprobs[m.loss_mask] for _, m in members])
        ),
        total=Totals(int(lengths.sum()), len(members)),
        fields={"paid": torch.tensor(np.concatenate(paid))},
    )


def pack_examples(examples: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Batch:
    """Pack ``(prompt ids, completion ids)`` pairs for supervised training."""
    lengths = torch.tensor([len(c) for _, c in examples])
    tokens, zeros = int(lengths.sum()), torch.zeros(len(examples))
    return Batch(
        token_ids=tuple(np.array([*p, *c], dtype=np.int64) for p, c in examples),
        loss_mask=tuple(np.arange(len(p) + len(c)) >= len(p) for p, c in examples),
        rewards_T=torch.zeros(tokens),
        scores_S=zeros,
        sequence_T=torch.repeat_interleave(torch.arange(len(examples)), lengths),
        group_S=torch.arange(len(examples)),
        source_S=zeros.long(),
        turn_T=torch.zeros(tokens, dtype=torch.long),
        version_T=torch.zeros(tokens, dtype=torch.long),
        sampler_logprobs_T=torch.zeros(tokens),
        total=Totals(tokens, len(examples)),
    )


def micro_batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Deal sequences into micro-batches of at most `token_budget` tokens, padding included.

    Sequences of like length go together, longest first, so that little is padding. One that is
    longer than the budget gets a micro-batch of its own.

    Args:
        lengths: tokens of each sequence, prompt and all.
        token_budget: rows x longest row, at most.

    Returns:
        Indices into `lengths`, every one exactly once.
    """
    out: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if out and lengths[out[-1][0]] * (len(out[-1]) + 1) <= token_budget:
            out[-1].append(i)
        else:
            out.append([i])
    return out


def in_step(shares: Sequence[list[list[int]]], rank: int) -> list[list[int]]:
    """Return a process's micro-batches: as many as any other's and at least one, empty ones last.

    Where gradients are exchanged, or weights spread, all processes have to run along.

    Args:
        shares: the micro-batches of every process.
        rank: of the process.
    """
    most = max(1, *map(len, shares))
    return shares[rank] + [[] for _ in range(most - len(shares[rank]))]


def own_micro_batches(
    lengths: Sequence[int], token_budget: int, accelerator: Accelerator
) -> list[list[int]]:
    """Return this process's micro-batches of sequences that all processes share, `in_step`."""
    shares = [
        [[hand[i] for i in m] for m in micro_batches([lengths[r] for r in hand], token_budget)]
        for hand in deal(lengths, accelerator.num_processes)
    ]
    return in_step(shares, accelerator.process_index)


def deal(lengths: Sequence[int], ranks: int) -> list[list[int]]:
    """Deal sequences to processes, longest first, back and forth, so that all have like work."""
    hands: list[list[int]] = [[] for _ in range(ranks)]
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    for place, i in enumerate(order):
        lap, seat = divmod(place, ranks)
        hands[seat if lap % 2 == 0 else ranks - 1 - seat].append(i)
    return [sorted(hand) for hand in hands]
