"""`Batch`: a rollout as tensors over its policy tokens.

Suffixes: ``_T`` packed policy tokens (in the order of the sequences), ``_S`` sequences.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Totals:
    """What a loss is divided by: counted over the whole update and all processes."""

    tokens: int
    sequences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Packed sequences; immutable.

    Attributes:
        token_ids: S arrays (L,), prompt and all.
        loss_mask: S arrays (L,), True on policy tokens.
        rewards_T: each reward on the token where it falls.
        scores_S: the sum of each sequence's rewards.
        sequence_T: which sequence of this batch a token belongs to.
        group_S: number of its group.
        source_S: index of its mixture source.
        turn_T: which turn a token was written in.
        version_T: version of the weights that sampled it.
        sampler_logprobs_T: as sampled.
        fields: what the learner or the optimizer filled in, by name; each (T,). ``paid`` is there
            from the start: True on each token where a reward falls, be it 0.
        total: what a loss over this update is divided by.
    """

    token_ids: tuple[NDArray[np.int64], ...]
    loss_mask: tuple[NDArray[np.bool_], ...]
    rewards_T: Tensor
    scores_S: Tensor
    sequence_T: Tensor
    group_S: Tensor
    source_S: Tensor
    turn_T: Tensor
    version_T: Tensor
    sampler_logprobs_T: Tensor
    total: Totals
    fields: Mapping[str, Tensor] = field(default_factory=dict[str, "Tensor"])

    def __len__(self) -> int:
        return len(self.token_ids)

    def __getitem__(self, name: str) -> Tensor:
        """Return a (T,) field, such as ``batch["advantages"]``."""
        return self.fields[name]

    @property
    def lengths_S(self) -> Tensor:
        """(S,) policy tokens of each sequence."""
        return self.sequence_T.bincount(minlength=len(self))

    def with_fields(self, fields: Mapping[str, Tensor]) -> Batch:
        """Return a copy that holds `fields` besides its own."""
        return replace(self, fields={**self.fields, **fields})

    def select(self, rows: Sequence[int], total: Totals | None = None) -> Batch:
        """Return the sequences `rows`, whole and in that order.

        Args:
            rows: which sequences.
            total: the new divisor; None keeps this batch's.
        """
        import torch

        lengths = self.lengths_S.tolist()
        ends = list(itertools.accumulate(lengths))
        tokens = torch.tensor(
            [t for r in rows for t in range(ends[r] - lengths[r], ends[r])],
            dtype=torch.long,
        )
        index = torch.tensor(list(rows), dtype=torch.long)
        return Batch(
            token_ids=tuple(self.token_ids[r] for r in rows),
            loss_mask=tuple(self.loss_mask[r] for r in rows),
            rewards_T=self.rewards_T[tokens],
            scores_S=self.scores_S[index],
            sequence_T=torch.repeat_interleave(
                torch.arange(len(rows)), torch.tensor([lengths[r] for r in rows], dtype=torch.long)
            ),
            group_S=self.group_S[index],
            source_S=self.source_S[index],
            turn_T=self.turn_T[tokens],
            version_T=self.version_T[tokens],
            sampler_logprobs_T=self.sampler_logprobs_T[tokens],
            total=total or self.total,
            fields={name: value[tokens] for name, value in self.fields.items()},
        )

    def mini_batches(self, count: int, generator: np.random.Generator) -> list[Batch]:
        """Split into `count` random parts, sequences whole; each part is one update.

        One part keeps the order. Advantages must be there already: they belong to the rollout.
        """
        import numpy as np

        order = np.arange(len(self)) if count == 1 else generator.permutation(len(self))
        parts = [part for part in np.array_split(order, count) if len(part)]
        lengths = self.lengths_S
        return [
            self.select(part.tolist(), Totals(int(lengths[part].sum()), len(part)))
            for part in parts
        ]
