"""The policy-optimizer contract: advantages for a rollout, a loss for a micro-batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from palestra.optimizers.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from palestra.rollout.trajectory import Group

Aggregate = Literal["sequence", "token", "constant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What the policy says now of a micro-batch's tokens; live, so gradients flow.

    Attributes:
        logprobs: (T,) of softmax(logits / temperature) over the full vocabulary.
        values: (T,) what the critic expects before each token is chosen, where there is a critic.
        entropy: (T,) exact entropy of the distribution, where the optimizer needs it.
    """

    logprobs: Tensor
    values: Tensor | None = None
    entropy: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A micro-batch's share of an update's loss.

    Attributes:
        value: scalar; the shares of all micro-batches and processes add up to the update's loss.
        metrics: (T,) a value for each token; the learner logs their mean over the update.
    """

    value: Tensor
    metrics: Mapping[str, Tensor] = field(default_factory=dict[str, "Tensor"])


class PolicyOptimizer:
    """A small object, not a trainer: it sees packed tensors, never micro-batches or processes.

    Subclasses define `Config`, `advantages` and `loss`.
    """

    class Config(BaseModel):
        """Options of the recipe's `optimizer` block."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    needs: frozenset[str] = frozenset({"old_logprobs"})
    """Of "old_logprobs", "ref_logprobs", "values" and "entropy"; may depend on the config.

    `advantages` finds "ref_logprobs" and "values" in the rollout; `loss` finds all of them."""

    advantages_need_old_logprobs: bool = False
    """Whether `advantages` reads "old_logprobs" too, as a KL in the reward does. Otherwise the only
    update of a rollout takes its own log-probs for the old ones, and saves a pass."""

    zero_advantage_is_zero_loss: bool = False
    """Whether a sequence without advantage adds nothing to the gradient (and may be skipped)."""

    critic_learning_rate: float | None = None
    """Peak learning rate of the critic; the policy's where None. All else of its torch optimizer is
    as the stage's `optim` says."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def keep(self, group: Group) -> bool:
        """Whether to train on a group; one that is refused is replaced by another draw."""
        return True

    def advantages(self, rollout: Batch) -> dict[str, Tensor]:
        """Return ``"advantages"`` (T,), and any other (T,) field that `loss` wants.

        Gets the whole rollout of all processes, before it is split.
        """
        raise NotImplementedError

    def loss(self, now: Outputs, batch: Batch) -> Loss:
        """Return the loss of a micro-batch, divided by `batch.total`."""
        raise NotImplementedError

    def critic(self, policy: nn.Module) -> nn.Module | None:
        """Return a critic for the learner to train, or None.

        Its `forward` maps (B, L) token ids, padded on the right, to (B, L) values: at each place,
        what the tokens up to there are worth. The learner calls it for the state before each policy
        token, trains it by `loss` beside the policy, with a torch optimizer of its own, and saves
        it in checkpoints.

        Args:
            policy: the model as the stage begins with it, in one piece; copy, never keep it.
        """
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""


def aggregate(
    loss_T: Tensor, batch: Batch, by: Aggregate = "token", constant: int | None = None
) -> Tensor:
    """Return a micro-batch's share of the mean loss of the whole update.

    Where the batch has ``importance_weights`` (a stage's `correction`), each token's loss is
    multiplied by its own, without gradient; what the sum is divided by stays the same.

    Args:
        loss_T: (T,) loss of each token.
        batch: the micro-batch; its `total` counts the update.
        by: ``token``: sum over all tokens / tokens of the update (DAPO).
            ``sequence``: mean over sequences of their token means (GRPO, DeepSeekMath eq. 3).
            ``constant``: sum over tokens / (sequences of the update x `constant`) (Dr. GRPO).
        constant: the length that ``constant`` divides by.
    """
    if "importance_weights" in batch.fields:
        loss_T = loss_T * batch["importance_weights"].detach()
    if by == "token":
        return loss_T.sum() / batch.total.tokens
    if by == "constant":
        if not constant:
            raise ValueError("aggregate by 'constant' needs the constant")
        return loss_T.sum() / (batch.total.sequences * constant)
    return (loss_T / batch.lengths_S[batch.sequence_T]).sum() / batch.total.sequences
