"""`ppo`: Proximal Policy Optimization (Schulman et al., arXiv 1707.06347) for language models.

Generalised advantage estimation: arXiv 1506.02438. The KL in each token's reward and the clipped
value loss are those of InstructGPT (arXiv 2203.02155) and of verl. Suffix: ``_T`` policy tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator

from palestra.optimizers.base import Loss, Outputs, PolicyOptimizer, aggregate
from palestra.optimizers.batch import Batch
from palestra.optimizers.parts import clipped, discounted_sums, following, whitened

if TYPE_CHECKING:
    from torch import Tensor, nn


class CriticConfig(BaseModel):
    """What the critic is made from, and how fast it learns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    from_model: str = Field(alias="from", min_length=1)
    """``policy`` for a copy of the policy, so one of equal size; or a model folder or hub id of the
    same tokenizer, which may be smaller."""

    learning_rate: float | None = Field(default=None, gt=0.0, le=10.0)
    """Its peak learning rate; the policy's where absent."""


class PPOConfig(PolicyOptimizer.Config):
    """Options of ``optimizer: {type: ppo}``."""

    critic: CriticConfig = Field(default=cast("CriticConfig", None), validate_default=True)
    """The critic; there is no default, for it decides what a run costs."""

    clip: float = Field(default=0.2, gt=0)
    """How far from 1 the probability ratio may move a token."""

    value_clip: float = Field(default=0.2, gt=0)
    """How far from the value before the update a value may move. The rewards' scale decides."""

    gamma: float = Field(default=1.0, ge=0, le=1)
    """Discount of later rewards."""

    lam: float = Field(default=0.95, ge=0, le=1)
    """Lambda of GAE: 1 trusts the rewards alone, 0 the critic. R1's comparison found 1.0 the better
    for long thoughts."""

    kl: float = Field(default=0.0, ge=0)
    """Weight of each token's KL to the reference, taken off its reward; 0 keeps no reference."""

    @field_validator("critic", mode="before")
    @classmethod
    def _has_size(cls, value: Any) -> Any:
        if value is None or (isinstance(value, Mapping) and "from" not in value):
            raise ValueError(
                "ppo needs the size of its critic: `critic: {from: policy}` for one as large as "
                "the policy, or `{from: FOLDER}` for a smaller model of the same tokenizer"
            )
        return value


class PPO(PolicyOptimizer):
    """An actor that moves no further than the clip, and a critic for its baseline."""

    Config = PPOConfig
    config: PPOConfig

    def __init__(self, config: PPOConfig) -> None:
        super().__init__(config)
        needs = {"old_logprobs", "values"} | ({"ref_logprobs"} if config.kl else set())
        self.needs = frozenset(needs)
        self.advantages_need_old_logprobs = config.kl > 0
        self.critic_learning_rate = config.critic.learning_rate

    def critic(self, policy: nn.Module) -> nn.Module:
        """Return a backbone with a head for one value."""
        from palestra_ppo.critic import make_critic

        return make_critic(policy, self.config.critic.from_model)

    def advantages(self, rollout: Batch) -> dict[str, Tensor]:
        """Estimate by GAE, and whiten over all tokens; ``returns`` are what the critic learns."""
        c, values_T = self.config, rollout["values"].double()
        rewards_T = rollout.rewards_T.double()
        if c.kl:
            kl_T = rollout["old_logprobs"] - rollout["ref_logprobs"]
            rewards_T = rewards_T - c.kl * kl_T.double()
        delta_T = rewards_T + c.gamma * following(values_T, rollout.sequence_T) - values_T
        gae_T = discounted_sums(delta_T, rollout.sequence_T, c.gamma * c.lam)
        out = {"advantages": whitened(gae_T), "returns": gae_T + values_T}
        return {name: value.to(rollout.rewards_T.dtype) for name, value in out.items()}

    def loss(self, now: Outputs, batch: Batch) -> Loss:
        """The clipped surrogate for the actor + the clipped value loss for the critic."""
        c, returns_T, old_values_T = self.config, batch["returns"], batch["values"]
        ratio = (now.logprobs - batch["old_logprobs"]).exp()
        loss_T, cut_T = clipped(ratio, batch["advantages"], c.clip, c.clip)
        values_T = cast("Tensor", now.values)
        near_T = old_values_T + (values_T - old_values_T).clamp(-c.value_clip, c.value_clip)
        off_T, near_off_T = (values_T - returns_T).square(), (near_T - returns_T).square()
        value_loss_T = off_T.maximum(near_off_T) / 2
        metrics = {"clip_share": cut_T, "value_loss": value_loss_T, "value": values_T}
        metrics["value_clip_share"] = (near_off_T > off_T).to(loss_T.dtype)
        if c.kl:
            metrics["kl"] = batch["old_logprobs"] - batch["ref_logprobs"]
        value = aggregate(loss_T, batch, "token") + value_loss_T.sum() / batch.total.tokens
        return Loss(value=value, metrics=metrics)
