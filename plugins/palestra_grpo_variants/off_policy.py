"""`grpo_off_policy`: GRPO that corrects for what its sampler did otherwise.

Sampler and trainer disagree on log-probs: other kernels, other precision, older weights. Truncated
importance sampling (Yao et al., "Your Efficient RL Framework Secretly Brings You Off-Policy RL
Training", 2025) weighs each token by how much likelier the trainer finds it, up to a bound.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from palestra.optimizers.base import Loss, Outputs, aggregate
from palestra.optimizers.batch import Batch
from palestra.optimizers.grpo import GRPO, GRPOConfig
from palestra.optimizers.parts import clipped, k3, summed


class OffPolicyGRPOConfig(GRPOConfig):
    """Options of ``optimizer: {type: grpo_off_policy}``: those of GRPO, and the correction's."""

    max_weight: float = Field(default=2.0, gt=0)
    """Bound of the weights."""

    level: Literal["token", "sequence"] = "token"
    """Whether each token has a weight of its own, or each sequence one for all of its tokens."""


class OffPolicyGRPO(GRPO):
    """GRPO whose tokens weigh min(p_old / p_sampler, `max_weight`), without gradient.

    Where the stage weighs tokens already (the field ``importance_weights``), its weights are taken
    instead of these: nothing is corrected twice.
    """

    Config = OffPolicyGRPOConfig

    def __init__(self, config: OffPolicyGRPOConfig) -> None:
        super().__init__(config)
        self._level, self._max_weight = config.level, config.max_weight

    def loss(self, now: Outputs, batch: Batch) -> Loss:
        """-w min(r A, clip(r) A) + kl x k3, averaged as `aggregate` says."""
        c, old_T = self.config, batch["old_logprobs"]
        high = c.clip if c.clip_high is None else c.clip_high
        ratio = (now.logprobs - old_T).exp()
        loss_T, cut_T = clipped(ratio, batch["advantages"], c.clip, high)
        metrics = {"clip_share": cut_T}
        if "importance_weights" not in batch.fields:
            apart_T = (old_T - batch.sampler_logprobs_T).detach()
            if self._level == "sequence":
                apart_T = summed(apart_T, batch)[batch.sequence_T]
            metrics["importance_weight"] = apart_T.exp().clamp(max=self._max_weight)
            loss_T = loss_T * metrics["importance_weight"]
        if c.kl:
            metrics["kl"] = k3(now.logprobs, batch["ref_logprobs"])
            loss_T = loss_T + c.kl * metrics["kl"]
        return Loss(value=aggregate(loss_T, batch, c.aggregate, c.constant_length), metrics=metrics)
