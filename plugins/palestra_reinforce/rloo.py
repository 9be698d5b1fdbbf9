"""`rloo`: REINFORCE Leave-One-Out (Ahmadian et al., arXiv 2402.14740; Kool et al. 2019).

Suffixes: ``_T`` policy tokens, ``_S`` sequences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from palestra.optimizers.base import Loss, Outputs, PolicyOptimizer, aggregate
from palestra.optimizers.batch import Batch
from palestra.optimizers.parts import centred, clipped, summed

if TYPE_CHECKING:
    from torch import Tensor


class RLOOConfig(PolicyOptimizer.Config):
    """Options of ``optimizer: {type: rloo}``."""

    min_group_size: ClassVar[int] = 2

    clip: float = Field(default=0.2, gt=0)
    """How far from 1 the probability ratio of a whole completion may move."""

    kl: float = Field(default=0.0, ge=0)
    """Weight of the KL to the reference, taken off the reward; 0 keeps no reference."""


class RLOO(PolicyOptimizer):
    """A completion is one action: one reward, one ratio, the others of its group for a baseline."""

    Config = RLOOConfig
    config: RLOOConfig
    zero_advantage_is_zero_loss = True

    def __init__(self, config: RLOOConfig) -> None:
        super().__init__(config)
        self.needs = frozenset({"old_logprobs"} | ({"ref_logprobs"} if config.kl else set()))
        self.advantages_need_old_logprobs = config.kl > 0

    def advantages(self, rollout: Batch) -> dict[str, Tensor]:
        """Return each reward, less its KL, minus the mean of the others of its group."""
        scores_S = rollout.scores_S.double()
        if self.config.kl:
            kl_T = rollout["old_logprobs"] - rollout["ref_logprobs"]
            scores_S = scores_S - self.config.kl * summed(kl_T.double(), rollout)
        apart_S = centred(scores_S, rollout.group_S, leave_one_out=True)
        return {"advantages": apart_S.to(rollout.scores_S.dtype)[rollout.sequence_T]}

    def loss(self, now: Outputs, batch: Batch) -> Loss:
        """-min(r A, clip(r) A) of each completion, r the ratio of its probabilities, averaged."""
        ratio_S = summed(now.logprobs - batch["old_logprobs"], batch).exp()
        ratio_T = ratio_S[batch.sequence_T]  # every token of a sequence has the same
        loss_T, cut_T = clipped(ratio_T, batch["advantages"], self.config.clip, self.config.clip)
        metrics = {"clip_share": cut_T}
        if self.config.kl:
            metrics["kl"] = batch["old_logprobs"] - batch["ref_logprobs"]
        return Loss(value=aggregate(loss_T, batch, "sequence"), metrics=metrics)
