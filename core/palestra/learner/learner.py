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
from palestra.learner.critic import FILE as CRITIC_FILE
from palestra.learner.critic import CriticLearner
from palestra.learner.logprobs import Policy, padded
from palestra.learner.packed import first_fit, packed
from palestra.learner.packing import deal, in_step
from palestra.learner.prompts import SharedPrompts
from palestra.learner.sharding import (
    backward,
    clip_gradient,
    copy_weights,
    frozen,
    gathered,
    is_sharding,
    load_optimizer_state,
    load_state,
    load_weights,
    optimizer_state,
    prepare,
    sums_gradients,
    whole_state,
    whole_tensors,
)
from palestra.learner.snapshot import Snapshot
from palestra.learner.zero import refuse_parts, refuse_resume
from palestra.optimizers.base import Loss, Outputs
from palestra.optimizers.batch import Batch

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel

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
        packing: whether short sequences fill up the rows of long ones.
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
    packing: bool = False
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
        self._sharded = is_sharding(accelerator)
        self._shared = _sharing(model, accelerator)
        self._adapted = lora.has_adapters(model)
        refuse_parts(accelerator, critic is not None, self._adapted)
        wrapped = wrap(model)
        own_reference = config.keep_reference and not self._adapted
        copied = copy.deepcopy(wrapped) if own_reference else None
        self._policy, self._optimizer = prepare(
            accelerator, wrapped, torch_optimizer, optim.max_grad_norm
        )
        self._reference = frozen(accelerator, copied) if copied is not None else None
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
        starts = torch.cumsum(rollout.lengths_S, 0) - rollout.lengths_S
        out = torch.zeros(len(rollout.sequence_T))
        # A wrapper would exchange what is not there to exchange; but shards are gathered by theirs.
        bare = module if self._sharded else self.accelerator.unwrap_model(module)
        training = bare.training
        bare.eval()  # as the sampler did: without dropout
        for micro in self._dealt(rollout, list(range(len(rollout)))):
            if not micro and not self._sharded:
                continue
            own = rollout.select(micro or [0])  # run along, and forget it
            now, _ = bare(*self._given(own, entropy=False))
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

    def _dealt(self, batch: Batch, rows: list[int]) -> list[list[int]]:
        """Return this process's micro-batches of `rows`; empty ones where it has to run along."""
        hands = deal([len(batch.token_ids[r]) for r in rows], self.accelerator.num_processes)
        shares = [self._micro_batches(batch, [rows[i] for i in hand]) for hand in hands]
        return in_step(shares, self.accelerator.process_index)

    def _micro_batches(self, batch: Batch, rows: list[int]) -> list[list[int]]:
        budget = self.config.token_budget
        if not self.config.packing:
            return self._shared.micro_batches(batch, rows, budget)
        micros = first_fit([len(batch.token_ids[r]) for r in rows], budget)
        return [[rows[i] for own in micro for i in own] for micro in micros]

    def _given(self, micro: Batch, entropy: bool) -> tuple[Any, ...]:
        """Return the arguments of `Policy.forward` for a micro-batch."""
        how = (self.config.temperature, entropy)
        if self.config.packing:
            *where, positions = packed(micro, self._pad, self.accelerator.device)
            return *where, *how, 0, positions
        where = padded(micro, self._pad, self.accelerator.device)
        return *where, *how, self._shared.prefix(micro)

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
                last = number == len(micros) - 1
                if not last and not sums_gradients(self.accelerator):
                    for module in (self._policy, *([self._critic.module] if self._critic else [])):
                        gathering.enter_context(self.accelerator.no_sync(module))
                self._backward(batch, rows, loss, sums, last)
        metrics = sums.reduced(self.accelerator, batch)
        for group in self._optimizer.param_groups:
            group["lr"] = metrics["learning_rate"] = learning_rate(
                self.config.optim, self.updates, self.config.total_updates
            )
        metrics["grad_norm"] = clip_gradient(
            self.accelerator, self._policy, self._optimizer, self.config.optim.max_grad_norm
        )
        if self._critic is not None:
            metrics["critic_grad_norm"] = self._critic.clip_gradient()
        self._require_finite(metrics, batch)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._critic is not None:
            self._critic.step(metrics["learning_rate"] / self.config.optim.learning_rate)
        self.updates += 1
        every = self.config.reference_every
        if self._reference is not None and every and self.updates % every == 0:
            copy_weights(self.accelerator.unwrap_model(self._policy), self._reference)
        return metrics

    def _my_share(self, batch: Batch) -> list[list[int]]:
        """Return this process's micro-batches, without the sequences that teach nothing."""
        rows = list(range(len(batch)))
        if self.config.skip_zero_advantage and "advantages" in batch.fields:
            weight = torch.zeros(len(batch)).index_add(
                0, batch.sequence_T, batch["advantages"].abs().float()
            )
            rows = [r for r in rows if weight[r] > 0]
        return self._dealt(batch, rows)

    def _backward(
        self, batch: Batch, rows: list[int], loss: LossFunction, sums: _Sums, last: bool
    ) -> None:
        empty = not rows  # another process has one more micro-batch: run along, add nothing
        micro = batch.select(rows or [0])
        logprobs, entropy = self._policy(*self._given(micro, self.config.entropy))
        values = self._critic.values(micro) if self._critic is not None else None
        if empty:
            nothing = logprobs.sum() if values is None else logprobs.sum() + values.sum()
            backward(self.accelerator, self._policy, nothing * 0.0, last)
            return
        micro = _on(micro, logprobs.device)
        if "old_logprobs" not in micro.fields:  # on policy: the current ones, without gradient
            micro = micro.with_fields({"old_logprobs": logprobs.detach()})
        result = loss(Outputs(logprobs=logprobs, values=values, entropy=entropy), micro)
        # The data-parallel wrapper averages over processes; a sum is what we want.
        value = result.value * self.accelerator.num_processes
        backward(self.accelerator, self._policy, value, last)
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
        """Yield the policy's weights under their Hugging Face names, tied heads included.

        Each is whole: where they are spread over processes, all have to walk through them.
        """
        yield from whole_tensors(
            lora.merged(self.model)
            if self._adapted
            else self.model.state_dict(keep_vars=True).items()
        )

    def snapshot(self) -> Snapshot:
        """Return what a checkpoint holds, to be written before the next update.

        Every process has to ask; the main one is given it, the others may be given less.
        """
        keep = self.accelerator.is_main_process
        weights = None
        if self._adapted:
            weights = gathered(lora.merged(self.model), keep)
        elif self._sharded:
            weights = whole_state(self.model, keep)
        reference, adapters = self._reference, None
        if self._adapted:
            adapters = gathered(lora.adapter_state(self.model).items(), keep)
        state = {
            "optimizer": optimizer_state(self._policy, self._optimizer),
            "updates": self.updates,
            "reference": whole_state(reference, keep) if reference is not None else None,
            "adapters": adapters,
        }
        files = {"learner.pt": state}
        if self._critic is not None:
            files[CRITIC_FILE] = self._critic.state(keep)
        return Snapshot(model=self.model, weights=weights, files=files)

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint in `folder`; the weights too.

        Raises:
            CheckpointError: the weights are not all there, or not of this model.
        """
        refuse_resume(self.accelerator)
        state = torch.load(folder / "learner.pt", map_location="cpu", weights_only=True)
        if self._adapted:
            if state["adapters"].keys() != lora.adapter_state(self.model).keys():
                raise CheckpointError(f"{folder}: its adapters are of other layers than this run's")
            load_state(self.model, state["adapters"], strict=False)
        else:
            load_weights(self.model, folder / "model")
        load_optimizer_state(self._policy, self._optimizer, state["optimizer"])
        self.updates = int(state["updates"])
        if state["reference"] is not None and self._reference is not None:
            load_state(self._reference, state["reference"])
        if self._critic is not None:
            self._critic.load(folder)


def _sharing(model: PreTrainedModel, accelerator: Accelerator) -> SharedPrompts:
    """Return which prompts are run once: none where that would part processes, or keep twice.

    Checkpointed layers run twice, so a cache would grow twice; and a second call of a sharded
    model's layers wants all processes, of which another may have no prompt to share.
    """
    if model.is_gradient_checkpointing or is_sharding(accelerator):
        return SharedPrompts(math.inf)
    parameters = sum(p.numel() for p in model.parameters())
    return SharedPrompts.where_it_pays(parameters, accelerator.device.type)


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
