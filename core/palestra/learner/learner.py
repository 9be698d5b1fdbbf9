"""The learner: fills in log-probs, and turns a batch and a loss into one optimizer step.

Accelerate owns devices, processes and precision. Only the learner knows of micro-batches and
processes, and it undoes the mean that data-parallel wrappers take: the gradient is that of the
whole update's loss, however it was cut.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from palestra.errors import CheckpointError, TrainingError
from palestra.learner import lora
from palestra.learner.critic import CriticLearner
from palestra.learner.logprobs import Policy, padded
from palestra.learner.packing import deal
from palestra.learner.prompts import SharedPrompts
from palestra.optimizers.base import Loss, Outputs
from palestra.optimizers.batch import Batch

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from palestra.learner.config import OptimConfig

LossFunction = Callable[[Outputs, Batch], Loss]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerConfig:
    """What the learner needs to know beside the model.

    Attributes:
        optim: the torch optimizer and its schedule.
        total_updates: optimizer steps of the stage, which the schedule ends with.
        token_budget: tokens of a micro-batch, padding included.
        temperature: of the sampler, which every log-prob is under.
        reference_every: updates between refreshes of the reference; 0 never.
        keep_reference: whether anything needs a reference.
        entropy: whether the optimizer needs exact entropies.
        skip_zero_advantage: whether sequences without advantage may be left out.
        critic_learning_rate: peak rate of the critic; the policy's where None.
    """

    optim: OptimConfig
    total_updates: int
    token_budget: int = 8192
    temperature: float = 1.0
    reference_every: int = 0
    keep_reference: bool = False
    entropy: bool = False
    skip_zero_advantage: bool = False
    critic_learning_rate: float | None = None


class Learner:
    """Trains one policy.

    Args:
        model: a causal LM; trained in place.
        accelerator: devices, processes, precision.
        config: see `LearnerConfig`.
        pad: id that fills micro-batches up.
        rescue: where a batch that gave a NaN is saved.
        critic: trained beside the policy; see `PolicyOptimizer.critic`.
        wrap: makes the module that gives log-probs of a batch's tokens.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        accelerator: Accelerator,
        config: LearnerConfig,
        pad: int,
        rescue: Path | None = None,
        critic: torch.nn.Module | None = None,
        wrap: Callable[[PreTrainedModel], Policy] = Policy,
    ) -> None:
        self.config = config
        self.accelerator = accelerator
        self.updates = 0
        self._pad = pad
        self._rescue = rescue
        optim = config.optim
        torch_optimizer = torch.optim.AdamW(
            [p for p in model.parameters() if p.requires_grad],
            lr=optim.learning_rate,
            betas=optim.betas,
            eps=optim.eps,
            weight_decay=optim.weight_decay,
        )
        parameters = sum(p.numel() for p in model.parameters())
        self._shared = SharedPrompts(parameters, accelerator.device.type)
        if model.is_gradient_checkpointing:  # it runs layers twice, and a cache would grow twice
            self._shared = SharedPrompts.never()
        self._adapted = lora.has_adapters(model)
        self._policy, self._optimizer = accelerator.prepare(wrap(model), torch_optimizer)
        own_reference = config.keep_reference and not self._adapted
        self._reference = self._frozen_copy() if own_reference else None
        self._critic: CriticLearner | None = None
        if critic is not None:
            rate = config.critic_learning_rate or optim.learning_rate
            own = optim.model_copy(update={"learning_rate": rate})
            self._critic = CriticLearner(critic, accelerator, own, config.token_budget, pad)

    @property
    def model(self) -> PreTrainedModel:
        """The live model, without wrappers."""
        return self.accelerator.unwrap_model(self._policy).model

    # -- log-probs ------------------------------------------------------------------------------

    def annotate(self, rollout: Batch, fields: frozenset[str]) -> Batch:
        """Fill in ``old_logprobs``, ``ref_logprobs`` and ``values`` where asked, without gradient.

        Every process computes its share; all end with the whole.
        """
        added: dict[str, Tensor] = {}
        if "old_logprobs" in fields:
            added["old_logprobs"] = self._logprobs(self._policy, rollout)
        if "ref_logprobs" in fields:
            added["ref_logprobs"] = self._reference_logprobs(rollout)
        if "values" in fields:
            assert self._critic is not None, "values asked for, but the optimizer has no critic"
            added["values"] = self._critic.annotate(rollout)
        return rollout.with_fields(added)

    def _reference_logprobs(self, rollout: Batch) -> Tensor:
        if self._adapted:
            with lora.adapters_off(self.model):
                return self._logprobs(self._policy, rollout)
        assert self._reference is not None, "asked for, but the learner keeps no reference"
        return self._logprobs(self._reference, rollout)

    @torch.no_grad()
    def _logprobs(self, module: torch.nn.Module, rollout: Batch) -> Tensor:
        hands = deal([len(ids) for ids in rollout.token_ids], self.accelerator.num_processes)
        rows = hands[self.accelerator.process_index]
        starts = torch.cumsum(rollout.lengths_S, 0) - rollout.lengths_S
        out = torch.zeros(len(rollout.sequence_T))
        bare = self.accelerator.unwrap_model(module)
        training = bare.training
        bare.eval()  # as the sampler did: without dropout
        for micro in self._micro_batches(rollout, rows):
            own = rollout.select(micro)
            now, _ = bare(
                *padded(own, self._pad, self.accelerator.device),
                self.config.temperature,
                False,
                self._shared.prefix(own),
            )
            tokens = [
                t
                for r in micro
                for t in range(int(starts[r]), int(starts[r] + rollout.lengths_S[r]))
            ]
            out[torch.tensor(tokens)] = now.float().cpu()
        bare.train(training)
        if self.accelerator.num_processes > 1:
            shared = self.accelerator.reduce(out.to(self.accelerator.device), "sum")
            out = cast("Tensor", shared).cpu()
        return out

    def _micro_batches(self, batch: Batch, rows: list[int]) -> list[list[int]]:
        return self._shared.micro_batches(batch, rows, self.config.token_budget)

    # -- one update -----------------------------------------------------------------------------

    def update(self, batch: Batch, loss: LossFunction) -> dict[str, float]:
        """Take one optimizer step on `batch`, and return its metrics.

        Processes share the sequences; those without advantage are skipped where the loss allows,
        though their tokens stay in the totals.

        Raises:
            TrainingError: the loss or the gradient is not finite; the batch is saved, and the
                weights are as they were.
        """
        self._policy.train()
        micros = self._my_share(batch)
        sums = _Sums()
        for number, rows in enumerate(micros):
            with ExitStack() as gathering:
                if number < len(micros) - 1:
                    for module in (self._policy, *([self._critic.module] if self._critic else [])):
                        gathering.enter_context(self.accelerator.no_sync(module))
                self._backward(batch, rows, loss, sums)
        grad_norm = self.accelerator.clip_grad_norm_(
            self._policy.parameters(), self.config.optim.max_grad_norm
        )
        metrics = sums.reduced(self.accelerator, batch)
        metrics["grad_norm"] = float(grad_norm) if grad_norm is not None else math.nan
        if self._critic is not None:
            metrics["critic_grad_norm"] = self._critic.clip_gradient()
        self._require_finite(metrics, batch)
        for group in self._optimizer.param_groups:
            group["lr"] = metrics["learning_rate"] = learning_rate(
                self.config.optim, self.updates, self.config.total_updates
            )
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._critic is not None:
            self._critic.step(metrics["learning_rate"] / self.config.optim.learning_rate)
        self.updates += 1
        every = self.config.reference_every
        if self._reference is not None and every and self.updates % every == 0:
            self._reference = self._frozen_copy()
        return metrics

    def _my_share(self, batch: Batch) -> list[list[int]]:
        """Return this process's micro-batches: as many as any other's, with empty ones last."""
        rows = list(range(len(batch)))
        if self.config.skip_zero_advantage and "advantages" in batch.fields:
            weight = torch.zeros(len(batch)).index_add(
                0, batch.sequence_T, batch["advantages"].abs().float()
            )
            rows = [r for r in rows if weight[r] > 0]
        hands = deal([len(batch.token_ids[r]) for r in rows], self.accelerator.num_processes)
        shares = [self._micro_batches(batch, [rows[i] for i in hand]) for hand in hands]
        most = max(1, *(len(share) for share in shares)) if len(shares) > 1 else len(shares[0])
        mine = shares[self.accelerator.process_index]
        return mine + [[] for _ in range(max(most, 1) - len(mine))]

    def _backward(self, batch: Batch, rows: list[int], loss: LossFunction, sums: _Sums) -> None:
        empty = not rows  # another process has one more micro-batch: run along, add nothing
        micro = batch.select(rows or [0])
        logprobs, entropy = self._policy(
            *padded(micro, self._pad, self.accelerator.device),
            self.config.temperature,
            self.config.entropy,
            self._shared.prefix(micro),
        )
        values = self._critic.values(micro) if self._critic is not None else None
        if empty:
            nothing = logprobs.sum() if values is None else logprobs.sum() + values.sum()
            self.accelerator.backward(nothing * 0.0)
            return
        micro = _on(micro, logprobs.device)
        if "old_logprobs" not in micro.fields:  # on policy: the current ones, without gradient
            micro = micro.with_fields({"old_logprobs": logprobs.detach()})
        result = loss(Outputs(logprobs=logprobs, values=values, entropy=entropy), micro)
        # The data-parallel wrapper averages over processes; a sum is what we want.
        self.accelerator.backward(result.value * self.accelerator.num_processes)
        sums.add(result, len(logprobs))

    def _require_finite(self, metrics: dict[str, float], batch: Batch) -> None:
        watched = ("loss", "grad_norm", "critic_grad_norm")
        bad = [name for name in watched if not math.isfinite(metrics.get(name, 0.0))]
        if not bad:
            return
        self._optimizer.zero_grad()
        if self._critic is not None:
            self._critic.zero_grad()
        saved = ""
        if self._rescue is not None and self.accelerator.is_main_process:
            try:
                torch.save({"batch": batch, "metrics": metrics}, self._rescue)
                saved = f" The batch is saved in {self._rescue}."
            except (OSError, RuntimeError) as exc:
                saved = f" The batch could not be saved in {self._rescue}: {exc}."
        raise TrainingError(
            f"{' and '.join(bad)} not finite at update {self.updates + 1}: "
            f"{', '.join(f'{n}={metrics[n]}' for n in bad)}. The weights are as they were before."
            f"{saved} Try a smaller learning_rate or max_grad_norm, or engine.precision: fp32"
        )

    # -- weights and state ----------------------------------------------------------------------

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the policy's weights under their Hugging Face names, tied heads included."""
        yield from lora.merged(self.model) if self._adapted else self.model.state_dict().items()

    def save(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Write ``model/`` (a Hugging Face folder), ``learner.pt`` and any critic into `folder`."""
        if self._adapted:
            lora.save_merged(self.model, folder / "model")
        else:
            self.model.save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")
        torch.save(self._state(), folder / "learner.pt")
        if self._critic is not None:
            self._critic.save(folder)

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote; the weights too.

        Raises:
            CheckpointError: the weights are not all there, or not of this model.
        """
        state = torch.load(folder / "learner.pt", map_location="cpu", weights_only=True)
        if self._adapted:
            lora.load_adapter_state(self.model, state["adapters"])
        else:
            self._load_weights(folder)
        self._optimizer.load_state_dict(state["optimizer"])
        self.updates = int(state["updates"])
        if state["reference"] is not None and self._reference is not None:
            self._reference.load_state_dict(state["reference"])
        if self._critic is not None:
            self._critic.load(folder)

    def _load_weights(self, folder: Path) -> None:
        # The model's own loader knows shards, and weights that are stored in another form.
        loaded: Any = type(self.model).from_pretrained(
            folder / "model", dtype=self.model.dtype, output_loading_info=True
        )
        stored, report = loaded
        for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
            if report[problem]:
                names = ", ".join(sorted(map(str, report[problem]))[:3])
                raise CheckpointError(f"{folder / 'model'}: {problem.replace('_', ' ')}: {names}")
        self.model.load_state_dict(stored.state_dict())

    def _state(self) -> dict[str, Any]:
        reference = self._reference.state_dict() if self._reference is not None else None
        return {
            "optimizer": self._optimizer.state_dict(),
            "updates": self.updates,
            "reference": reference,
            "adapters": lora.adapter_state(self.model) if self._adapted else None,
        }

    def _frozen_copy(self) -> Policy:
        frozen = copy.deepcopy(self.accelerator.unwrap_model(self._policy))
        return frozen.eval().requires_grad_(False)


class _Sums:
    """Sums over this process's micro-batches, made into the update's metrics at the end."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {"loss": 0.0}

    def add(self, result: Loss, tokens: int) -> None:
        self._add("loss", float(result.value.detach()))
        self._add("tokens_trained", float(tokens))
        for name, value in result.metrics.items():
            self._add(name, float(value.detach().sum()))

    def _add(self, name: str, value: float) -> None:
        self.values[name] = self.values.get(name, 0.0) + value

    def reduced(self, accelerator: Accelerator, batch: Batch) -> dict[str, float]:
        """Sum over processes, and divide what is a mean by the update's tokens."""
        totals = dict(self.values)
        if accelerator.num_processes > 1:
            from accelerate.utils import gather_object

            totals = {}
            for part in gather_object([self.values]):
                for name, value in part.items():
                    totals[name] = totals.get(name, 0.0) + value
        trained = totals.pop("tokens_trained", 0.0)
        metrics = {
            name: value if name == "loss" else value / batch.total.tokens
            for name, value in totals.items()
        }
        metrics["tokens_trained"] = trained
        return metrics


def learning_rate(optim: OptimConfig, update: int, total: int) -> float:
    """Return the rate of the update number `update` (from 0) of `total`."""
    if update < optim.warmup_steps:
        return optim.learning_rate * (update + 1) / optim.warmup_steps
    if optim.schedule == "constant":
        return optim.learning_rate
    done = (update - optim.warmup_steps) / max(1, total - optim.warmup_steps)
    fall = 1 - done if optim.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return optim.learning_rate * (optim.min_lr_ratio + (1 - optim.min_lr_ratio) * fall)


def supervised_loss(now: Outputs, batch: Batch) -> Loss:
    """Cross entropy over completion tokens, averaged over the update's."""
    return Loss(value=-now.logprobs.sum() / batch.total.tokens)


def _on(batch: Batch, device: torch.device) -> Batch:
    if device.type == "cpu":
        return batch
    from dataclasses import fields, replace

    moved: dict[str, Any] = {
        f.name: value.to(device)
        for f in fields(batch)
        if isinstance(value := getattr(batch, f.name), Tensor)
    }
    moved["fields"] = {name: value.to(device) for name, value in batch.fields.items()}
    return replace(batch, **moved)
