"""`reinforce_pp` and `reinforce_pp_baseline`: REINFORCE++ (Hu et al., arXiv 2501.03262).

Suffixes: ``_T`` policy tokens, ``_S`` sequences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from palestra.optimizers.base import Loss, Outputs, PolicyOptimizer, aggregate
from palestra.optimizers.batch import Batch
from palestra.optimizers.parts import centred, clipped, discounted_sums, whitened

if TYPE_CHECKING:
    from torch import Tensor


class ReinforcePPConfig(PolicyOptimizer.Config):
    """Options of ``optimizer: {type: reinforce_pp}``."""

    clip: float = Field(default=0.2, gt=0)
    """How far from 1 the probability ratio may move a token."""

    kl: float = Field(default=0.0, ge=0)
    """Weight of each token's KL to the reference, taken off its reward; 0 keeps no reference."""


class ReinforcePPBaselineConfig(ReinforcePPConfig):
    """Options of ``optimizer: {type: reinforce_pp_baseline}``."""

    min_group_size: ClassVar[int] = 2

    kl: float = Field(default=0.0, ge=0)
    """Weight of the KL to the reference, here inside the loss (k2); 0 keeps no reference."""


class ReinforcePP(PolicyOptimizer):
    """Returns of single completions, whitened over the batch: no critic and no groups."""

    Config: type[PolicyOptimizer.Config] = ReinforcePPConfig
    config: ReinforcePPConfig
    zero_advantage_is_zero_loss = True

    def __init__(self, config: ReinforcePPConfig) -> None:
        super().__init__(config)
        self.needs = frozenset({"old_logprobs"} | ({"ref_logprobs"} if config.kl else set()))
        self.advantages_need_old_logprobs = config.kl > 0

    def advantages(self, rollout: Batch) -> dict[str, Tensor]:
        """Whiten each token's reward to go, its KL included, over all tokens of the batch."""
        rewards_T = rollout.rewards_T.double()
        if self.config.kl:
            kl_T = rollout["old_logprobs"] - rollout["ref_logprobs"]
            rewards_T = rewards_T - self.config.kl * kl_T.double()
        returns_T = discounted_sums(rewards_T, rollout.sequence_T)
        return {"advantages": whitened(returns_T).to(rollout.rewards_T.dtype)}

    def loss(self, now: Outputs, batch: Batch) -> Loss:
        """PPO's clipped surrogate, averaged over the update's tokens."""
        ratio = (now.logprobs - batch["old_logprobs"]).exp()
        loss_T, cut_T = clipped(ratio, batch["advantages"], self.config.clip, self.config.clip)
        metrics = {"clip_share": cut_T}
        if self.config.kl:
            metrics["kl"] = batch["old_logprobs"] - batch["ref_logprobs"]
        return Loss(value=aggregate(loss_T, batch, "token"), metrics=metrics)


class ReinforcePPBaseline(ReinforcePP):
    """The group's mean for a baseline, the batch's deviation for a scale, the KL in the loss."""

    Config = ReinforcePPBaselineConfig

    def __init__(self, config: ReinforcePPBaselineConfig) -> None:
        super().__init__(config)
        self.zero_advantage_is_zero_loss = config.kl == 0
        self.advantages_need_old_logprobs = False

    def advantages(self, rollout: Batch) -> dict[str, Tensor]:
        """Centre the scores within each group, then whiten them over all tokens of the batch."""
        apart_S = centred(rollout.scores_S, rollout.group_S)
        advantages_T = whitened(apart_S[rollout.sequence_T])
        return {"advantages": advantages_T.to(rollout.rewards_T.dtype)}

    def loss(self, now: Outputs, batch: Batch) -> Loss:
        """The clipped surrogate + kl x k2, averaged over the update's tokens."""
        ratio = (now.logprobs - batch["old_logprobs"]).exp()
        loss_T, cut_T = clipped(ratio, batch["advantages"], self.config.clip, self.config.clip)
        metrics = {"clip_share": cut_T}
        if self.config.kl:
            metrics["kl"] = (now.logprobs - batch["ref_logprobs"]).square() / 2
            loss_T = loss_T + self.config.kl * metrics["kl"]
        return Loss(value=aggregate(loss_T, batch, "token"), metrics=metrics)
