"""`reinforce_loo`: REINFORCE with a leave-one-out baseline (arXiv 2402.14740, section 2.4).

Suffixes: ``_T`` policy tokens, ``_S`` sequences, ``_G`` groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from palestra.optimizers.base import Aggregate, Loss, Outputs, PolicyOptimizer, aggregate
from palestra.optimizers.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor


class ReinforceLeaveOneOutConfig(PolicyOptimizer.Config):
    """Options of ``optimizer: {type: reinforce_loo}``."""

    min_group_size: ClassVar[int] = 2

    aggregate: Aggregate = "token"
    """What the mean of the loss runs over: the update's tokens, or its sequences."""


class ReinforceLeaveOneOut(PolicyOptimizer):
    """The plain policy gradient: no ratio and no clip, so take one update a step."""

    Config = ReinforceLeaveOneOutConfig
    config: ReinforceLeaveOneOutConfig
    needs = frozenset[str]()
    zero_advantage_is_zero_loss = True

    def advantages(self, rollout: Batch) -> dict[str, Tensor]:
        """Return each score minus the mean score of the others of its group.

        Returns:
            ``advantages`` (T,); 0 for a sequence that is alone in its group.
        """
        _, group_S = rollout.group_S.unique(return_inverse=True)
        scores_S = rollout.scores_S.double()
        count_G = group_S.bincount().double()
        sum_G = scores_S.new_zeros(len(count_G)).index_add(0, group_S, scores_S)
        others_S = (sum_G[group_S] - scores_S) / (count_G[group_S] - 1).clamp(min=1)
        advantage_S = (scores_S - others_S).masked_fill(count_G[group_S] == 1, 0.0)
        advantage_S = advantage_S.masked_fill(advantage_S.abs() < 1e-7, 0.0)  # equal, but for sums
        return {"advantages": advantage_S.to(rollout.scores_S.dtype)[rollout.sequence_T]}

    def loss(self, now: Outputs, batch: Batch) -> Loss:
        """-A log p, averaged as `aggregate` says."""
        loss_T = -batch["advantages"] * now.logprobs
        return Loss(value=aggregate(loss_T, batch, self.config.aggregate))
