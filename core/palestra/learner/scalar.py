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
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from palestra.errors import CheckpointError, TrainingError
from palestra.learner.learner import learning_rate
from palestra.learner.packing import deal, micro_batches

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

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
        prepared: Any = accelerator.prepare(model, torch_optimizer)
        self._module: torch.nn.Module = prepared[0]
        self._optimizer: Any = prepared[1]

    @property
    def model(self) -> PreTrainedModel:
        """The live model, without wrappers."""
        return cast("PreTrainedModel", self.accelerator.unwrap_model(self._module))

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
                if number < len(micros) - 1:
                    gathering.enter_context(self.accelerator.no_sync(self._module))
                self._backward(items, rows, sums)
        norm = self.accelerator.clip_grad_norm_(self._module.parameters(), self.optim.max_grad_norm)
        metrics = self._reduced(sums, len(items))
        metrics["grad_norm"] = float(norm) if norm is not None else math.nan
        if bad := [n for n in ("loss", "grad_norm") if not math.isfinite(metrics[n])]:
            self._optimizer.zero_grad()
            raise TrainingError(
                f"{' and '.join(bad)} not finite at update {self.updates + 1}. The weights are as "
                "they were before. Try a smaller learning_rate, or engine.precision: fp32"
            )
        rate = learning_rate(self.optim, self.updates, self._total)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.updates += 1
        return metrics | {"learning_rate": rate}

    @torch.no_grad()
    def scores(self, items: Sequence[Item]) -> tuple[Tensor, Tensor]:
        """Return (N, K) scores and (N,) labels of all items, on every process alike."""
        bare = self.accelerator.unwrap_model(self._module)
        training = bare.training
        bare.eval()
        out_NK = torch.zeros(len(items), self._width, device=self.accelerator.device)
        for rows in self._micro_batches(items, self._hands(items)):
            out_NK[rows] = self._score(bare, [items[r] for r in rows])
        bare.train(training)
        if self.accelerator.num_processes > 1:
            out_NK = cast("Tensor", self.accelerator.reduce(out_NK, "sum"))
        return out_NK.cpu(), torch.tensor([label for _, label in items])

    def _hands(self, items: Sequence[Item], rank: int | None = None) -> list[int]:
        hands = deal([_longest(item) for item in items], self.accelerator.num_processes)
        return hands[self.accelerator.process_index if rank is None else rank]

    def _micro_batches(self, items: Sequence[Item], rows: Sequence[int]) -> list[list[int]]:
        lengths = [self._width * _longest(items[r]) for r in rows]
        return [[rows[i] for i in micro] for micro in micro_batches(lengths, self._budget)]

    def _my_share(self, items: Sequence[Item]) -> list[list[int]]:
        """Return this process's micro-batches: as many as any other's, with empty ones last."""
        world = self.accelerator.num_processes
        shares = [self._micro_batches(items, self._hands(items, rank)) for rank in range(world)]
        mine = shares[self.accelerator.process_index]
        return mine + [[] for _ in range(max(map(len, shares)) - len(mine))]

    def _backward(self, items: Sequence[Item], rows: list[int], sums: dict[str, float]) -> None:
        chosen = [items[r] for r in rows] or [items[0]]
        scores_NK = self._score(self._module, chosen)
        if not rows:  # another process has one more micro-batch: run along, add nothing
            self.accelerator.backward(scores_NK.sum() * 0.0)
            return
        labels_N = torch.tensor([label for _, label in chosen], device=scores_NK.device)
        loss = self._loss(scores_NK, labels_N).sum() / len(items)
        # The data-parallel wrapper averages over processes; a sum is what we want.
        self.accelerator.backward(loss * self.accelerator.num_processes)
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
        logits = module(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
        return logits.float().view(len(items), self._width)

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

    def save(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Write ``model/`` (a Hugging Face folder) and ``learner.pt`` into `folder`."""
        self.model.save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")
        state = {"optimizer": self._optimizer.state_dict(), "updates": self.updates}
        torch.save(state, folder / "learner.pt")

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote; the weights too.

        Raises:
            CheckpointError: the weights are not all there, or not of this model.
        """
        state = torch.load(folder / "learner.pt", map_location="cpu", weights_only=True)
        loaded: Any = type(self.model).from_pretrained(
            folder / "model", dtype=self.model.dtype, output_loading_info=True
        )
        stored, report = loaded
        for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
            if report[problem]:
                names = ", ".join(sorted(map(str, report[problem]))[:3])
                raise CheckpointError(f"{folder / 'model'}: {problem.replace('_', ' ')}: {names}")
        self.model.load_state_dict(stored.state_dict())
        self._optimizer.load_state_dict(state["optimizer"])
        self.updates = int(state["updates"])


def _longest(item: Item) -> int:
    return max(len(ids) for ids in item[0])
