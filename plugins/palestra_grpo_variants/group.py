"""What the variants share: advantages against the mean, and the deviation, of a group.

Suffixes: ``_T`` policy tokens, ``_S`` sequences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from palestra.optimizers.base import PolicyOptimizer
from palestra.optimizers.batch import Batch
from palestra.optimizers.parts import Deviation, centred, scaled

if TYPE_CHECKING:
    from torch import Tensor


class GroupConfig(PolicyOptimizer.Config):
    """Options of an optimizer whose advantages are GRPO's."""

    min_group_size: ClassVar[int] = 2

    std: Deviation = "sample"
    """Which deviation of the group's rewards divides the advantages; papers do not say."""

    eps: float = Field(default=1e-4, ge=0)
    """Added to the deviation."""


class GroupOptimizer(PolicyOptimizer):
    """Advantages as GRPO's; the loss is the subclass's."""

    zero_advantage_is_zero_loss = True

    def scores(self, rollout: Batch) -> Tensor:
        """Return (S,) what a completion is compared by: its reward."""
        return rollout.scores_S

    def advantages(self, rollout: Batch) -> dict[str, Tensor]:
        """Centre and scale the scores within each group; a group with equal scores gets zeros."""
        apart_S = centred(self.scores(rollout), rollout.group_S)
        advantages_S = scaled(apart_S, rollout.group_S, self.config.std, self.config.eps)
        return {"advantages": advantages_S.to(rollout.scores_S.dtype)[rollout.sequence_T]}
