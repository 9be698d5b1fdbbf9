"""What policy optimizers are made of: group statistics, whitening, sums over time, clipped ratios.

Suffixes: ``_T`` packed policy tokens, ``_S`` sequences, ``_G`` groups. Torch is not imported here:
recipes are validated through the modules that import this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from palestra.optimizers.batch import Batch

Deviation = Literal["sample", "population", "none"]

EQUAL = 1e-7
"""Rewards that differ by less are equal, but for the order in which they were added up."""


def numbered(group_S: Tensor) -> Tensor:
    """Return group numbers that count from 0, for any numbers."""
    return group_S.unique(return_inverse=True)[1]


def centred(scores_S: Tensor, group_S: Tensor, *, leave_one_out: bool = False) -> Tensor:
    """Return each score minus the mean of its group, in float64; exactly 0 where all are equal.

    Args:
        scores_S: (S,) scores; or of anything else that belongs to groups.
        group_S: (S,) which group each belongs to, any numbers.
        leave_one_out: take the mean of the *other* members: G / (G - 1) times as far away.
    """
    group_S = numbered(group_S)
    scores_S = scores_S.double()
    count_G = group_S.bincount().double()
    mean_G = scores_S.new_zeros(len(count_G)).index_add(0, group_S, scores_S) / count_G
    out_S = scores_S - mean_G[group_S]
    out_S = out_S.masked_fill(out_S.abs() < EQUAL, 0.0)
    return out_S * (count_G / (count_G - 1).clamp(min=1))[group_S] if leave_one_out else out_S


def scaled(centred_S: Tensor, group_S: Tensor, std: Deviation, eps: float) -> Tensor:
    """Divide centred scores by the deviation of their group plus `eps`; 0 stays 0.

    Args:
        centred_S: (S,) what `centred` returned.
        group_S: (S,) which group each belongs to.
        std: ``sample`` divides squares by n - 1, ``population`` by n, ``none`` leaves all as it is.
        eps: added to the deviation.
    """
    if std == "none":
        return centred_S
    group_S = numbered(group_S)
    count_G = group_S.bincount().double()
    square_G = centred_S.new_zeros(len(count_G)).index_add(0, group_S, centred_S**2)
    free_G = count_G - (1 if std == "sample" else 0)
    deviation_G = (square_G / free_G.clamp(min=1)).sqrt() + eps
    return centred_S / deviation_G.clamp(min=1e-12)[group_S]


def whitened(values_T: Tensor) -> Tensor:
    """Return values with mean 0 and sample variance 1 over all tokens, as verl computes it."""
    apart = values_T - values_T.mean()
    if len(values_T) < 2 or float(apart.abs().max()) < EQUAL:
        return apart * 0.0
    return apart * (apart.square().sum() / (len(values_T) - 1) + 1e-8).rsqrt()


def following(values_T: Tensor, sequence_T: Tensor) -> Tensor:
    """Return the value of the next token of the same sequence; 0 behind the last one."""
    out_T = values_T.roll(-1)
    return out_T.masked_fill(sequence_T != sequence_T.roll(-1), 0.0).index_fill(
        0, sequence_T.new_tensor([len(values_T) - 1]), 0.0
    )


def discounted_sums(values_T: Tensor, sequence_T: Tensor, discount: float = 1.0) -> Tensor:
    """Return ``x_t + discount x_{t+1} + discount^2 x_{t+2} + …`` within each sequence."""
    lengths_S = sequence_T.bincount()
    starts_S = lengths_S.cumsum(0) - lengths_S
    place_T = sequence_T.new_tensor(range(len(sequence_T))) - starts_S[sequence_T]
    table = values_T.new_zeros(len(lengths_S), int(lengths_S.max()))
    table[sequence_T, place_T] = values_T
    running_S = table.new_zeros(len(lengths_S))
    for column in reversed(table.unbind(1)):  # a view: what is written stands in the table
        running_S = column.add_(running_S, alpha=discount)
    return table[sequence_T, place_T]


def summed(values_T: Tensor, batch: Batch) -> Tensor:
    """Return (S,) the sum of each sequence's tokens; gradients flow."""
    return values_T.new_zeros(len(batch)).index_add(0, batch.sequence_T, values_T)


def clipped(ratio: Tensor, advantages: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Return PPO's surrogate ``-min(r A, clip(r, 1 - low, 1 + high) A)``, and where it was cut.

    Args:
        ratio: of the probabilities now and then, of tokens or of sequences.
        advantages: of the same shape.
        low: how far below 1 the ratio may move.
        high: how far above.

    Returns:
        The loss, and 1 where the clip took the gradient away (0 elsewhere).
    """
    bounded = ratio.clamp(1 - low, 1 + high)
    loss = -(ratio * advantages).minimum(bounded * advantages)
    return loss, ((bounded - ratio) * advantages < 0).to(loss.dtype)


def k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Return Schulman's estimate of the KL to the reference, ``x - log x - 1`` with x = ref / p."""
    x = ref_logprobs - logprobs
    return x.exp() - x - 1
