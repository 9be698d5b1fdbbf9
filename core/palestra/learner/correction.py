"""Importance weights that correct for what sampler and trainer do not share.

The tokens were drawn from the sampler's distribution, and the loss takes them for the trainer's.
Weighing each by the trainer's probability over the sampler's, before the first update, mends the
expectation; the weight is cut so that no token or sequence rules an update.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationInfo, field_validator

from palestra.config import ConfigModel

if TYPE_CHECKING:
    from torch import Tensor

    from palestra.optimizers.batch import Batch


class CorrectionConfig(ConfigModel):
    """Correction for the difference of sampler and trainer: ``{type: truncate, cap: 2.0}``."""

    type: Literal["truncate", "mask_sequence"]
    """``truncate`` weighs each token by its ratio, `cap` at most; ``mask_sequence`` weighs each
    sequence by the product of its ratios, and drops it where that leaves `floor` to `cap`."""

    cap: float = Field(default=2.0, ge=1.0)
    """Highest ratio of the trainer's probability to the sampler's."""

    floor: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Lowest ratio of a sequence that is kept; only with ``mask_sequence``."""

    @field_validator("floor")
    @classmethod
    def _floor(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("type") == "truncate":
            raise ValueError("goes with `type: mask_sequence`; `truncate` has a cap alone")
        return value


def importance_weights(rollout: Batch, config: CorrectionConfig) -> Tensor:
    """Return what `optimizers.base.aggregate` multiplies each token's loss by.

    With r_t the trainer's probability of token t over the sampler's, before the first update:
    ``truncate`` gives min(r_t, cap) (truncated importance sampling, Yao et al. 2025);
    ``mask_sequence`` gives every token of a sequence R = prod r_t where floor <= R <= cap, and 0
    elsewhere (IcePop's mask on whole sequences, as in TRL).

    Args:
        rollout: with ``old_logprobs``.
        config: which, and its bounds.

    Returns:
        (T,) without gradient.
    """
    log_ratio_T = rollout["old_logprobs"].detach() - rollout.sampler_logprobs_T
    if config.type == "truncate":
        return log_ratio_T.exp().clamp(max=config.cap)
    summed_S = log_ratio_T.new_zeros(len(rollout)).index_add(0, rollout.sequence_T, log_ratio_T)
    ratio_S = summed_S.exp()
    dropped_S = (ratio_S > config.cap) | (ratio_S < config.floor)
    return ratio_S.masked_fill(dropped_S, 0.0)[rollout.sequence_T]
