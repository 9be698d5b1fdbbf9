"""`grpo_process`: GRPO with process supervision (DeepSeekMath, arXiv 2402.03300, section 4.1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palestra.optimizers.batch import Batch
from palestra.optimizers.grpo import GRPO, GRPOConfig
from palestra.optimizers.parts import centred, discounted_sums, scaled

if TYPE_CHECKING:
    from torch import Tensor


class ProcessGRPOConfig(GRPOConfig):
    """Options of ``optimizer: {type: grpo_process}``: those of GRPO."""


class ProcessGRPO(GRPO):
    """Every token is worth the rewards of the steps that end with it or later.

    A step is wherever a reward falls: where one of ``Score.steps`` ends, and at the end of a turn.
    With one reward a completion, at its end, this is GRPO.
    """

    Config = ProcessGRPOConfig

    def advantages(self, rollout: Batch) -> dict[str, Tensor]:
        """Normalise over all step rewards of the group, and add up the later ones of each token."""
        paid_T = rollout["paid"]
        group_T = rollout.group_S[rollout.sequence_T[paid_T]]
        apart_T = centred(rollout.rewards_T[paid_T], group_T)
        steps_T = apart_T.new_zeros(len(paid_T))
        steps_T[paid_T] = scaled(apart_T, group_T, self.config.std, self.config.eps)
        advantages_T = discounted_sums(steps_T, rollout.sequence_T)
        return {"advantages": advantages_T.to(rollout.rewards_T.dtype)}
