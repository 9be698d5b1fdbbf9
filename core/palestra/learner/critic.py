"""The learner's half for a critic: values, its gradient and optimizer steps, its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from palestra.errors import ConfigError
from palestra.learner.logprobs import padded
from palestra.learner.packing import own_micro_batches
from palestra.learner.sharding import (
    clip_gradient,
    is_sharding,
    load_optimizer_state,
    load_state,
    optimizer_state,
    prepare,
    whole_state,
)
from palestra.optimizers.batch import Batch

if TYPE_CHECKING:
    from accelerate import Accelerator

    from palestra.learner.config import OptimConfig

FILE = "critic.pt"


class CriticLearner:
    """Trains one critic, in step with the policy's updates.

    Args:
        critic: maps (B, L) token ids to (B, L) values; trained in place.
        accelerator: devices, processes, precision.
        optim: its torch optimizer; the schedule comes with each step.
        token_budget: tokens of a micro-batch without gradient, padding included.
        pad: id that fills micro-batches up.

    Raises:
        ConfigError: the precision is fp16, whose loss scale is of one torch optimizer.
    """

    def __init__(
        self,
        critic: nn.Module,
        accelerator: Accelerator,
        optim: OptimConfig,
        token_budget: int,
        pad: int,
    ) -> None:
        if accelerator.mixed_precision == "fp16":
            raise ConfigError(
                "engine.precision: fp16 scales the loss for one torch optimizer, and a critic has "
                "its own. Use bf16 or fp32 with an optimizer that has a critic"
            )
        self.accelerator, self.optim = accelerator, optim
        self._budget, self._pad = token_budget, pad
        torch_optimizer = torch.optim.AdamW(
            critic.parameters(),
            lr=optim.learning_rate,
            betas=optim.betas,
            eps=optim.eps,
            weight_decay=optim.weight_decay,
        )
        prepared = prepare(
            accelerator, critic.to(accelerator.device), torch_optimizer, optim.max_grad_norm
        )
        self.module: nn.Module = prepared[0]
        self._optimizer: Any = prepared[1]

    def values(self, batch: Batch) -> Tensor:
        """Return (T,) the value before each policy token is chosen; live."""
        return self._values(self.module, batch)

    def _values(self, module: nn.Module, batch: Batch) -> Tensor:
        ids, rows_T, columns_T = padded(batch, self._pad, self.accelerator.device)
        return module(ids)[rows_T, columns_T - 1].float()

    @torch.no_grad()
    def annotate(self, rollout: Batch) -> Tensor:
        """Return (T,) values of a whole rollout; every process computes its share."""
        lengths = [len(ids) for ids in rollout.token_ids]
        ends = rollout.lengths_S.cumsum(0).tolist()
        out_T = torch.zeros(len(rollout.sequence_T))
        bare = self.accelerator.unwrap_model(self.module)
        bare.eval()
        for rows in own_micro_batches(lengths, self._budget, self.accelerator):
            if not rows and not is_sharding(self.accelerator):
                continue
            own = rollout.select(rows or [0])  # run along, and forget it
            tokens = [
                t
                for row, length in zip(rows, own.lengths_S.tolist(), strict=True)
                for t in range(ends[row] - length, ends[row])
            ]
            values = self._values(bare, own)
            if rows:
                out_T[torch.tensor(tokens)] = values.cpu()
        bare.train()
        if self.accelerator.num_processes > 1:
            shared = self.accelerator.reduce(out_T.to(self.accelerator.device), "sum")
            out_T = cast("Tensor", shared).cpu()
        return out_T

    def clip_gradient(self) -> float:
        """Clip the gradient to its norm, and return the norm that it had."""
        most = self.optim.max_grad_norm
        return clip_gradient(self.accelerator, self.module, self._optimizer, most)

    def step(self, share: float) -> None:
        """Take one optimizer step, at a `share` of the peak learning rate."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.optim.learning_rate * share
        self._optimizer.step()
        self.zero_grad()

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self._optimizer.zero_grad()

    def state(self, keep: bool) -> dict[str, Any]:
        """Return what a checkpoint holds; every process has to ask, and gets it where it keeps it.

        Args:
            keep: whether this process wants it.
        """
        bare = self.accelerator.unwrap_model(self.module)
        optimizer = optimizer_state(self.module, self._optimizer)
        return {"critic": whole_state(bare, keep), "optimizer": optimizer}

    def load(self, folder: Path) -> None:
        """Go on from the checkpoint in `folder`."""
        state = torch.load(folder / FILE, map_location="cpu", weights_only=True)
        load_state(self.accelerator.unwrap_model(self.module), state["critic"])
        load_optimizer_state(self.module, self._optimizer, state["optimizer"])
