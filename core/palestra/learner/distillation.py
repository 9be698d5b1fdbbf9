"""Logit distillation: a student learns its teacher's whole distribution, token by token.

The loss of a token is T^2 KL(teacher || student), both under softmax(logits / T): forward KL, with
Hinton et al.'s factor that keeps gradients alike whatever T (arXiv 1503.02531, section 2). The
tokens go through both heads in chunks, and the backward pass makes a chunk's logits anew, so that
no (tokens, vocabulary) tensor of a micro-batch is ever held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from palestra.errors import ConfigError
from palestra.learner.logprobs import Policy

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Head = Callable[[Tensor], Tensor]

CHUNK = 256
"""Tokens whose logits are held together."""


def forward_kl(
    student_T: Tensor,
    teacher_T: Tensor,
    student_head: Head,
    teacher_head: Head,
    *,
    temperature: float = 1.0,
    vocabulary: int | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """Return (T,) T^2 KL(teacher || student) of each token, differentiable in the student.

    Args:
        student_T: (T, H) states in front of the tokens.
        teacher_T: (T, H') the teacher's.
        student_head: from states to (.., V) logits.
        teacher_head: the teacher's.
        temperature: divides both models' logits.
        vocabulary: logits that count; models pad what lies behind, each as it likes.
        chunk: tokens at a time.
    """

    def one(student: Tensor, teacher: Tensor) -> Tensor:
        with torch.no_grad():
            target = _log_softmax(teacher_head(teacher), temperature, vocabulary)
        own = _log_softmax(student_head(student), temperature, vocabulary)
        weight = target.exp()
        parts = torch.where(weight > 0, weight * (target - own), torch.zeros_like(own))
        return temperature**2 * parts.sum(-1)

    pairs = zip(student_T.split(chunk), teacher_T.split(chunk), strict=True)
    parts: list[Any] = [checkpoint(one, *pair, use_reentrant=False) for pair in pairs]
    return torch.cat(parts)


def _log_softmax(logits: Tensor, temperature: float, vocabulary: int | None) -> Tensor:
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return (wide[..., :vocabulary] / temperature).log_softmax(-1)


class DistilledPolicy(Policy):
    """A student whose `forward` gives minus the loss of each token, where `Policy` gives log-probs.

    So the learner's supervised loss, minus their mean, is the mean loss of a completion token.

    Args:
        model: the student; trained.
        teacher: as it is; moved nowhere, never trained, and no part of the student's state.
        temperature: divides both models' logits.
        vocabulary: tokens that the two models share.
    """

    def __init__(
        self, model: PreTrainedModel, teacher: PreTrainedModel, temperature: float, vocabulary: int
    ) -> None:
        super().__init__(model)
        self._teacher = (Policy(teacher.eval().requires_grad_(False)),)  # hidden from nn.Module
        self._temperature, self._vocabulary = temperature, vocabulary

    def forward(
        self,
        ids: Tensor,
        rows_T: Tensor,
        columns_T: Tensor,
        temperature: float,
        entropy: bool,
        prefix: int = 0,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return (T,) minus the loss of each token; arguments as `Policy.forward` has them."""
        where = (ids, rows_T, columns_T, prefix, positions)
        student_T, student_head = self.states(*where)
        with torch.no_grad():
            teacher_T, teacher_head = self._teacher[0].states(*where)
        loss_T = forward_kl(
            student_T,
            teacher_T,
            student_head,
            teacher_head,
            temperature=self._temperature,
            vocabulary=self._vocabulary,
        )
        return -loss_T, None


def shared_vocabulary(student: Any, teacher: Any, names: tuple[str, str]) -> int:
    """Return how many tokens two tokenizers share, which has to be all of them.

    Args:
        student: the student's tokenizer.
        teacher: the teacher's.
        names: what the two models are called.

    Raises:
        ConfigError: a token of one is another, or none, of the other.
    """
    own: dict[str, int] = student.get_vocab()
    other: dict[str, int] = teacher.get_vocab()
    if own != other:
        strange = sorted(t for t in own.keys() | other.keys() if own.get(t) != other.get(t))
        one = strange[0]
        raise ConfigError(
            f"logits of teacher '{names[1]}' mean nothing to '{names[0]}': their tokenizers differ "
            f"in {len(strange):,} tokens, as {one!r} ({_id(own, one)} against {_id(other, one)}). "
            "Take a teacher with the same tokenizer, or train on its text alone, without `logits`"
        )
    return max(own.values()) + 1


def _id(vocabulary: dict[str, int], token: str) -> str:
    return str(vocabulary[token]) if token in vocabulary else "none"
