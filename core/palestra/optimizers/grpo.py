"""GRPO as DeepSeek-R1 used it: group-relative advantages, a clipped ratio, a k3 KL in the loss.

Source: DeepSeek-R1 (arXiv 2501.12948), eq. 1 to 3; DeepSeekMath (arXiv 2402.03300), eq. 3 and 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from palestra.optimizers.base import Aggregate, Loss, Outputs, PolicyOptimizer, aggregate
from palestra.optimizers.batch import Batch
from palestra.optimizers.parts import Deviation, centred, clipped, k3, scaled

if TYPE_CHECKING:
    from torch import Tensor


class GRPOConfig(PolicyOptimizer.Config):
    """Options of ``optimizer: {type: grpo}``."""

    min_group_size: ClassVar[int] = 2

    clip: float = Field(default=0.2, gt=0)
    """How far below 1 (and above, without `clip_high`) the probability ratio may move a token."""

    clip_high: float | None = Field(default=None, gt=0)
    """How far above 1; `clip` where absent. R1 clipped at 10."""

    kl: float = Field(default=0.0, ge=0)
    """Weight of the KL to the reference, inside the loss; 0 keeps no reference."""

    std: Deviation = "sample"
    """Which deviation of the group's rewards divides the advantages; papers do not say."""

    eps: float = Field(default=1e-4, ge=0)
    """Added to the deviation."""

    aggregate: Aggregate = "token"
    """What the mean of the loss runs over: the update's tokens, sequences, or a constant length."""

    constant_length: int | None = Field(default=None, ge=1)
    """Tokens that `aggregate: constant` divides each sequence by."""


class GRPO(PolicyOptimizer):
    """Group Relative Policy Optimization."""

    Config = GRPOConfig
    config: GRPOConfig

    def __init__(self, config: GRPOConfig) -> None:
        super().__init__(config)
        self.needs = frozenset({"old_logprobs"} | ({"ref_logprobs"} if config.kl else set()))
        self.zero_advantage_is_zero_loss = config.kl == 0

    def advantages(self, rollout: Batch) -> dict[str, Tensor]:
        """Centre and scale the scores within each group (DeepSeek-R1, eq. 3).

        A group with equal scores gets zeros, not NaN.

        Returns:
            ``advantages`` (T,): each sequence's advantage on all of its tokens.
        """
        apart_S = centred(rollout.scores_S, rollout.group_S)
        advantages_S = scaled(apart_S, rollout.group_S, self.config.std, self.config.eps)
        return {"advantages": advantages_S.to(rollout.scores_S.dtype)[rollout.sequence_T]}

    def loss(self, now: Outputs, batch: Batch) -> Loss:
        """-min(r A, clip(r) A) + kl x k3, averaged as `aggregate` says."""
        c = self.config
        ratio = (now.logprobs - batch["old_logprobs"]).exp()
        high = c.clip if c.clip_high is None else c.clip_high
        loss_T, cut_T = clipped(ratio, batch["advantages"], c.clip, high)
        metrics = {"clip_share": cut_T}
        if c.kl:
            kl_T = k3(now.logprobs, batch["ref_logprobs"])
            loss_T = loss_T + c.kl * kl_T
            metrics["kl"] = kl_T.detach()
        return Loss(value=aggregate(loss_T, batch, c.aggregate, c.constant_length), metrics=metrics)
