"""Several sequences in a row: short ones fill up the rows of long ones, where padding would be.

Each keeps positions of its own, from 0, by which transformers tells them apart: none attends to
another. Rows are as long as the longest sequence, so attention costs no more than in its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from palestra.optimizers.batch import Batch

_CLOSE = 1e-4  # how near the hidden states must come to those of sequences on their own, as a share


def first_fit(lengths: Sequence[int], token_budget: float) -> list[list[list[int]]]:
    """Pack sequences into the rows of micro-batches: longest first, each where it fits first.

    Args:
        lengths: tokens of each sequence.
        token_budget: rows x longest row of a micro-batch, at most. A sequence that is longer gets a
            micro-batch of its own.

    Returns:
        Micro-batches of rows of indices into `lengths`, every one exactly once.
    """
    micros: list[list[list[int]]] = []
    rooms: list[list[int]] = []  # tokens that each row has left
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        for rows, room in zip(micros, rooms, strict=True):
            width = lengths[rows[0][0]]
            row = next((r for r, left in enumerate(room) if left >= lengths[i]), None)
            if row is None and width * (len(rows) + 1) <= token_budget:
                row = len(rows)
                rows.append([])
                room.append(width)
            if row is not None:
                rows[row].append(i)
                room[row] -= lengths[i]
                break
        else:
            micros.append([[i]])
            rooms.append([0])
    return micros


def packed(batch: Batch, pad: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a micro-batch as `padded` does, its sequences packed into rows.

    Returns:
        (B, L) ids; (T,) rows and (T,) columns of the policy's tokens, in the sequences' order; and
        (B, L) positions, which begin at 0 with each sequence.
    """
    lengths = [len(ids) for ids in batch.token_ids]
    (rows,) = first_fit(lengths, math.inf)
    ids = torch.full((len(rows), max(lengths)), pad, dtype=torch.long)
    positions = torch.zeros_like(ids)  # padding: a sequence of its own for each token
    places: dict[int, tuple[int, int]] = {}
    for row, members in enumerate(rows):
        start = 0
        for i in members:
            end = start + lengths[i]
            ids[row, start:end] = torch.from_numpy(batch.token_ids[i])
            positions[row, start:end] = torch.arange(lengths[i])
            places[i] = (row, start)
            start = end
    own = [torch.from_numpy(mask).nonzero().squeeze(1) for mask in batch.loss_mask]
    in_rows = torch.cat([torch.full_like(o, places[i][0]) for i, o in enumerate(own)])
    columns = torch.cat([o + places[i][1] for i, o in enumerate(own)])
    return ids.to(device), in_rows.to(device), columns.to(device), positions.to(device)


@torch.no_grad()
def keeps_apart(model: PreTrainedModel) -> bool:
    """Whether sequences in one row are to `model` what they are on their own, tried on two.

    Recurrent layers go on from one into the next, and some models take no positions.
    """
    backbone: Any = model.base_model
    ids = torch.arange(12, device=model.device)[None] % model.config.get_text_config().vocab_size
    positions = torch.cat([torch.arange(5), torch.arange(7)])[None].to(model.device)
    training = model.training
    model.eval()
    try:
        row = backbone(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
        alone = [
            backbone(input_ids=part, use_cache=False).last_hidden_state
            for part in ids.split([5, 7], dim=1)
        ]
    except torch.OutOfMemoryError:  # a RuntimeError too, and another story
        raise
    except (TypeError, ValueError, AttributeError, RuntimeError, NotImplementedError):
        return False
    finally:
        model.train(training)
    apart = torch.cat(alone, dim=1)
    far = (row - apart).abs().max() / apart.abs().max().clamp(min=1e-6)
    # What is no number is told as such by the first update.
    return not float(far) > _CLOSE * (100 if apart.dtype != torch.float32 else 1)
