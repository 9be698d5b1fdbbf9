"""`dr_grpo`: GRPO done right (Liu et al., arXiv 2503.20783).

Dividing by the deviation favours questions that are too easy or too hard, dividing by the length
favours long wrong answers: neither is done here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from palestra.optimizers.base import Loss, Outputs, PolicyOptimizer, aggregate
from palestra.optimizers.batch import Batch
from palestra.optimizers.parts import centred, clipped

if TYPE_CHECKING:
    from torch import Tensor


class DrGRPOConfig(PolicyOptimizer.Config):
    """Options of ``optimizer: {type: dr_grpo}``."""

    min_group_size: ClassVar[int] = 2

    max_length: int = Field(ge=1)
    """Tokens that every sequence's sum is divided by: the sampler's `max_tokens`, as a rule."""

    clip: float = Field(default=0.2, gt=0)
    """How far from 1 the probability ratio may move a token."""


class DrGRPO(PolicyOptimizer):
    """A = R - mean; the sum over tokens divided by sequences x `max_length`."""

    Config = DrGRPOConfig
    config: DrGRPOConfig
    zero_advantage_is_zero_loss = True

    def advantages(self, rollout: Batch) -> dict[str, Tensor]:
        """Return each score minus the mean of its group, on all of its tokens."""
        apart_S = centred(rollout.scores_S, rollout.group_S)
        return {"advantages": apart_S.to(rollout.scores_S.dtype)[rollout.sequence_T]}

    def loss(self, now: Outputs, batch: Batch) -> Loss:
        """The clipped surrogate, over a length that no completion decides."""
        c = self.config
        ratio = (now.logprobs - batch["old_logprobs"]).exp()
        loss_T, cut_T = clipped(ratio, batch["advantages"], c.clip, c.clip)
        value = aggregate(loss_T, batch, "constant", c.max_length)
        return Loss(value=value, metrics={"clip_share": cut_T})
