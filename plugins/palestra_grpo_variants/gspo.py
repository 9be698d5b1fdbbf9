"""`gspo`: Group Sequence Policy Optimization (Zheng et al., arXiv 2507.18071)."""

from __future__ import annotations

from pydantic import Field

from palestra.optimizers.base import Loss, Outputs, aggregate
from palestra.optimizers.batch import Batch
from palestra.optimizers.parts import clipped, summed
from palestra_grpo_variants.group import GroupConfig, GroupOptimizer


class GSPOConfig(GroupConfig):
    """Options of ``optimizer: {type: gspo}``."""

    clip: float = Field(default=3e-4, gt=0)
    """How far below 1 the ratio of a sequence may fall: a mean over tokens moves little."""

    clip_high: float = Field(default=4e-4, gt=0)
    """How far above 1 it may rise."""


class GSPO(GroupOptimizer):
    """One ratio for a sequence: the geometric mean of its tokens' (eq. 7)."""

    Config = GSPOConfig
    config: GSPOConfig

    def loss(self, now: Outputs, batch: Batch) -> Loss:
        """-min(s A, clip(s) A) of each sequence, averaged over sequences (eq. 5)."""
        apart_S = summed(now.logprobs - batch["old_logprobs"], batch) / batch.lengths_S
        ratio_T = apart_S.exp()[batch.sequence_T]  # every token of a sequence has the same
        c = self.config
        loss_T, cut_T = clipped(ratio_T, batch["advantages"], c.clip, c.clip_high)
        return Loss(value=aggregate(loss_T, batch, "sequence"), metrics={"clip_share": cut_T})
