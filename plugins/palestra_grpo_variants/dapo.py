"""`dapo`: Decoupled clip and Dynamic sAmpling Policy Optimization (Yu et al., arXiv 2503.14476)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from palestra.optimizers.base import Loss, Outputs, aggregate
from palestra.optimizers.batch import Batch
from palestra.optimizers.parts import clipped
from palestra.rewards.shaping import OverlongConfig
from palestra_grpo_variants.group import GroupConfig, GroupOptimizer

if TYPE_CHECKING:
    from torch import Tensor

    from palestra.rollout.trajectory import Group


class DAPOConfig(GroupConfig):
    """Options of ``optimizer: {type: dapo}``."""

    clip: float = Field(default=0.2, gt=0)
    """How far below 1 the probability ratio may move a token."""

    clip_high: float = Field(default=0.28, gt=0)
    """How far above 1: further, so that unlikely tokens can become likely."""

    dynamic_sampling: bool = True
    """Whether groups whose completions are all right, or all wrong, are drawn again. The stage's
    `max_refills` says how often."""

    overlong: OverlongConfig | None = None
    """Added to the reward of long completions; nothing where absent."""


class DAPO(GroupOptimizer):
    """GRPO without KL, clipped higher above, on groups that teach, every token alike."""

    Config = DAPOConfig
    config: DAPOConfig

    def keep(self, group: Group) -> bool:
        """Keep a group whose members differ in `accuracy`, or in reward where none is emitted."""
        marks = {m.components.get("accuracy", m.reward) for m in group.valid}
        return len(marks) > 1 or not self.config.dynamic_sampling

    def scores(self, rollout: Batch) -> Tensor:
        """Return (S,) rewards, less what the length costs."""
        if (soft := self.config.overlong) is None:
            return rollout.scores_S
        costs = [soft.cost(length) for length in rollout.lengths_S.tolist()]
        return rollout.scores_S - rollout.scores_S.new_tensor(costs)

    def loss(self, now: Outputs, batch: Batch) -> Loss:
        """The clipped surrogate, averaged over the update's tokens (eq. 8)."""
        ratio = (now.logprobs - batch["old_logprobs"]).exp()
        c = self.config
        loss_T, cut_T = clipped(ratio, batch["advantages"], c.clip, c.clip_high)
        return Loss(value=aggregate(loss_T, batch, "token"), metrics={"clip_share": cut_T})
