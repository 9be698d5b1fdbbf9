"""`cispo`: Clipped IS-weight Policy Optimization (MiniMax-M1, arXiv 2506.13585)."""

from __future__ import annotations

from pydantic import Field

from palestra.optimizers.base import Loss, Outputs, aggregate
from palestra.optimizers.batch import Batch
from palestra_grpo_variants.group import GroupConfig, GroupOptimizer


class CISPOConfig(GroupConfig):
    """Options of ``optimizer: {type: cispo}``."""

    max_ratio: float = Field(default=5.0, gt=0)
    """Largest weight of a token (ScaleRL, arXiv 2510.13786: 5). There is no least one. Where others
    write `1 + epsilon_high`, this is the sum."""


class CISPO(GroupOptimizer):
    """A weighted policy gradient: a token whose ratio is clipped still learns."""

    Config = CISPOConfig
    config: CISPOConfig

    def loss(self, now: Outputs, batch: Batch) -> Loss:
        """-sg(min(r, max_ratio)) A log p, averaged over the update's tokens (eq. 4)."""
        ratio = (now.logprobs - batch["old_logprobs"]).exp().detach()
        weight = ratio.clamp(max=self.config.max_ratio)
        loss_T = -weight * batch["advantages"] * now.logprobs
        cut_T = (ratio > self.config.max_ratio).to(loss_T.dtype)
        return Loss(value=aggregate(loss_T, batch, "token"), metrics={"clip_share": cut_T})
