"""Training a scalar reward model: pairs by Bradley-Terry, single completions by their label.

The gradient is that of the whole update's mean loss, however it is cut into micro-batches and
dealt to processes. Suffixes: ``_N`` preferences, ``_NK`` their completions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from palestra.errors import TrainingError
from palestra.learner.learner import learning_rate
from palestra.learner.packing import own_micro_batches
from palestra.learner.sharding import (
    backward,
    clip_gradient,
    is_sharding,
    load_optimizer_state,
    load_weights,
    optimizer_state,
    prepare,
    sums_gradients,
    whole_state,
)
from palestra.learner.snapshot import Snapshot
from palestra.learner.zero import refuse_resume

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel

    from palestra.learner.config import OptimConfig

Item = tuple[Sequence[Sequence[int]], float]
"""The tokens of a preference's completions, and its label (1.0 for a pair)."""


def pairwise_loss(scores_NK: Tensor, labels_N: Tensor) -> Tensor:
    """Return (N,) -log sigmoid(s_chosen - s_rejected) (Bradley and Terry; DeepSeek-R1, 3.1)."""
    return -logsigmoid(scores_NK[:, 0] - scores_NK[:, 1])


def pointwise_loss(scores_NK: Tensor, labels_N: Tensor) -> Tensor:
    """Return (N,) binary cross entropy of sigmoid(s) against the label."""
    return binary_cross_entropy_with_logits(scores_NK[:, 0], labels_N, reduction="none")


def right(scores_NK: Tensor, labels_N: Tensor) -> Tensor:
    """Return (N,) whether a preference is scored as it was labelled; a tie is half right."""
    if scores_NK.shape[1] == 2:
        margin_N = scores_NK[:, 0] - scores_NK[:, 1]
    else:
        margin_N = scores_NK[:, 0] * (2 * labels_N - 1)
    return (margin_N.sign() + 1) / 2


class _Scores(nn.Module):
    """What wrappers and shards are put around, so that the model keeps its class."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return (B,) scores for (B, L) token ids."""
        return self.model(input_ids=ids, attention_mask=mask).logits.float().squeeze(-1)


class ScalarLearner:
    """Trains one sequence-classification model with a single label.

    Args:
        model: trained in place.
        accelerator: devices, processes, precision.
        optim: the torch optimizer and its schedule.
        total_updates: optimizer steps of the stage, which the schedule ends with.
        token_budget: tokens of a micro-batch, padding included.
        pad: id that fills micro-batches up; the model's config should have it too.
        pairwise: whether items are pairs.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        accelerator: Accelerator,
        optim: OptimConfig,
        total_updates: int,
        token_budget: int,
        pad: int,
        pairwise: bool,
    ) -> None:
        self.accelerator, self.optim, self.updates = accelerator, optim, 0
        self._total, self._budget, self._pad = total_updates, token_budget, pad
        self._width, self._loss = (2, pairwise_loss) if pairwise else (1, pointwise_loss)
        torch_optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=optim.learning_rate,
            betas=optim.betas,
            eps=optim.eps,
            weight_decay=optim.weight_decay,
        )
        prepared = prepare(accelerator, _Scores(model), torch_optimizer, optim.max_grad_norm)
        self._module: torch.nn.Module = prepared[0]
        self._optimizer: Any = prepared[1]

    @property
    def model(self) -> PreTrainedModel:
        """The live model, without wrappers."""
        return self.accelerator.unwrap_model(self._module).model

    def update(self, items: Sequence[Item]) -> dict[str, float]:
        """Take one optimizer step on `items`, and return its metrics.

        Raises:
            TrainingError: the loss or the gradient is not finite; the weights are as they were.
        """
        self._module.train()
        micros = self._my_share(items)
        sums = {"loss": 0.0, "accuracy": 0.0, "margin": 0.0, "tokens_trained": 0.0}
        for number, rows in enumerate(micros):
            with ExitStack() as gathering:
                last = number == len(micros) - 1
                if not last and not sums_gradients(self.accelerator):
                    gathering.enter_context(self.accelerator.no_sync(self._module))
                self._backward(items, rows, sums, last)
        metrics = self._reduced(sums, len(items))
        rate = learning_rate(self.optim, self.updates, self._total)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        metrics["grad_norm"] = clip_gradient(
            self.accelerator, self._module, self._optimizer, self.optim.max_grad_norm
        )
        if bad := [n for n in ("loss", "grad_norm") if not math.isfinite(metrics[n])]:
            self._optimizer.zero_grad()
            raise TrainingError(
                f"{' and '.join(bad)} not finite at update {self.updates + 1}. The weights are as "
                "they were before. Try a smaller learning_rate, or engine.precision: fp32"
            )
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.updates += 1
        return metrics | {"learning_rate": rate}

    @torch.no_grad()
    def scores(self, items: Sequence[Item]) -> tuple[Tensor, Tensor]:
        """Return (N, K) scores and (N,) labels of all items, on every process alike."""
        shards = is_sharding(self.accelerator)
        bare = self._module if shards else self.accelerator.unwrap_model(self._module)
        training = bare.training
        bare.eval()
        out_NK = torch.zeros(len(items), self._width, device=self.accelerator.device)
        for rows in self._my_share(items):
            if rows or shards:
                scores_NK = self._score(bare, [items[r] for r in rows or [0]])
                out_NK[rows] = scores_NK[: len(rows)]  # without any, it has only run along
        bare.train(training)
        if self.accelerator.num_processes > 1:
            out_NK = cast("Tensor", self.accelerator.reduce(out_NK, "sum"))
        return out_NK.cpu(), torch.tensor([label for _, label in items])

    def _my_share(self, items: Sequence[Item]) -> list[list[int]]:
        """Return this process's micro-batches; empty ones where it has to run along."""
        longest = [self._width * max(map(len, texts)) for texts, _ in items]
        return own_micro_batches(longest, self._budget, self.accelerator)

    def _backward(
        self, items: Sequence[Item], rows: list[int], sums: dict[str, float], last: bool
    ) -> None:
        chosen = [items[r] for r in rows] or [items[0]]
        scores_NK = self._score(self._module, chosen)
        if not rows:  # another process has one more micro-batch: run along, add nothing
            backward(self.accelerator, self._module, scores_NK.sum() * 0.0, last)
            return
        labels_N = torch.tensor([label for _, label in chosen], device=scores_NK.device)
        loss = self._loss(scores_NK, labels_N).sum() / len(items)
        # The data-parallel wrapper averages over processes; a sum is what we want.
        backward(self.accelerator, self._module, loss * self.accelerator.num_processes, last)
        scores_NK = scores_NK.detach()
        sums["loss"] += float(loss.detach())
        sums["accuracy"] += float(right(scores_NK, labels_N).sum()) / len(items)
        sums["margin"] += float((scores_NK[:, 0] - scores_NK[:, -1]).sum()) / len(items)
        sums["tokens_trained"] += sum(len(ids) for texts, _ in chosen for ids in texts)

    def _score(self, module: torch.nn.Module, items: Sequence[Item]) -> Tensor:
        """Return (N, K) scores, live."""
        texts = [ids for sequences, _ in items for ids in sequences]
        width = max(map(len, texts))
        ids = torch.full((len(texts), width), self._pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
        device = self.accelerator.device
        return module(ids.to(device), mask.to(device)).view(len(items), self._width)

    def _reduced(self, sums: dict[str, float], count: int) -> dict[str, float]:
        if self.accelerator.num_processes > 1:
            from accelerate.utils import gather_object

            parts: list[dict[str, float]] = gather_object([sums])
            sums = {name: math.fsum(part[name] for part in parts) for name in sums}
        if self._width == 1:
            sums = {name: value for name, value in sums.items() if name != "margin"}
        name = "pair_accuracy" if self._width == 2 else "label_accuracy"
        return {name if key == "accuracy" else key: value for key, value in sums.items()}

    # -- state ----------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return what a checkpoint holds: to the main process, but every one has to ask."""
        keep = self.accelerator.is_main_process
        weights = whole_state(self.model, keep) if is_sharding(self.accelerator) else None
        optimizer = optimizer_state(self._module, self._optimizer)
        state = {"optimizer": optimizer, "updates": self.updates}
        return Snapshot(model=self.model, weights=weights, files={"learner.pt": state})

    def load(self, folder: Path) -> None:
        """Go on from the checkpoint in `folder`; the weights too.

        Raises:
            CheckpointError: the weights are not all there, or not of this model.
        """
        refuse_resume(self.accelerator)
        state = torch.load(folder / "learner.pt", map_location="cpu", weights_only=True)
        load_weights(self.model, folder / "model")
        load_optimizer_state(self._module, self._optimizer, state["optimizer"])
        self.updates = int(state["updates"])
