"""Weights that are spread over processes: how they are prepared, gathered whole, and put back.

FSDP2's way is here, DeepSpeed's in `zero`; elsewhere a tensor is whole. On one process, and under
data parallelism, where every process holds everything, its functions copy nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor

from palestra.errors import CheckpointError
from palestra.learner import zero
from palestra.precision import dtype_of

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel


def is_sharding(accelerator: Accelerator) -> bool:
    """Whether `prepare` spreads weights over processes."""
    return bool(accelerator.is_fsdp2) or zero.stage(accelerator) == 3


def sums_gradients(accelerator: Accelerator) -> bool:
    """Whether processes exchange gradients at every backward pass, and keep no whole sum."""
    return is_sharding(accelerator) or zero.stage(accelerator) > 0


# --- preparing -------------------------------------------------------------------------------


def prepare(
    accelerator: Accelerator, module: nn.Module, optimizer: torch.optim.Optimizer, max_norm: float
) -> tuple[Any, Any]:
    """Return module and optimizer as Accelerate makes them: wrapped, or sharded layer by layer.

    Args:
        accelerator: the run's.
        module: trained by `optimizer`.
        optimizer: over its parameters.
        max_norm: what gradients will be clipped to.
    """
    if zero.stage(accelerator):
        return zero.prepare(accelerator, module, optimizer, max_norm)
    _name_layers(accelerator, module)
    prepared: Any = accelerator.prepare(module, optimizer)
    return prepared[0], prepared[1]


def frozen(accelerator: Accelerator, module: nn.Module) -> Any:
    """Return a module that is never trained, spread and cast as `prepare` would have it."""
    module.eval().requires_grad_(False)
    if zero.stage(accelerator):
        precision = accelerator.mixed_precision
        dtype = None if precision == "no" else dtype_of(precision)
        return module.to(device=accelerator.device, dtype=dtype)
    if not is_sharding(accelerator):
        return accelerator.prepare_model(module, evaluation_mode=True)
    from accelerate.utils.fsdp_utils import fsdp2_prepare_model

    _name_layers(accelerator, module)
    return fsdp2_prepare_model(accelerator, module)


def _name_layers(accelerator: Accelerator, module: nn.Module) -> None:
    """Tell Accelerate what the layers of the model in `module` are; it looks no further than that.

    It keeps the names of the first model that it has seen, and a run may have several kinds.
    """
    plugin = accelerator.state.fsdp_plugin if accelerator.is_fsdp2 else None
    if plugin is not None:
        parts = list(module.modules())
        named = {n for part in parts for n in getattr(part, "_no_split_modules", None) or ()}
        present = sorted(named & {type(part).__name__ for part in parts})
        plugin.transformer_cls_names_to_wrap = present


def backward(accelerator: Accelerator, module: Any, loss: Tensor, last: bool) -> None:
    """Add the gradient of a micro-batch's loss.

    Args:
        accelerator: the run's.
        module: as `prepare` returned it.
        loss: what it computed.
        last: whether it is the update's last micro-batch.
    """
    if zero.stage(accelerator):
        module.set_gradient_accumulation_boundary(is_boundary=last)
        module.backward(loss)
    else:
        accelerator.backward(loss)


def clip_gradient(
    accelerator: Accelerator, module: nn.Module, optimizer: Any, max_norm: float
) -> float:
    """Clip the whole gradient of `module` to `max_norm`, and return the norm that it had.

    DeepSpeed steps as it clips, unless the norm is no number; its optimizer's own step is none.
    """
    if zero.stage(accelerator):
        return zero.step(module)
    accelerator.unscale_gradients(optimizer)
    return float(whole(torch.nn.utils.clip_grad_norm_(module.parameters(), max_norm)))


# --- whole tensors and state -----------------------------------------------------------------


def is_spread(tensor: Tensor) -> bool:
    """Whether processes hold parts of a tensor."""
    return isinstance(tensor, DTensor) or zero.is_partitioned(tensor)


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor, without gradient; where it is spread, every process has to ask."""
    if zero.is_partitioned(tensor):
        return zero.whole(tensor)
    own = tensor.detach()
    return own.full_tensor() if isinstance(own, DTensor) else own


def whole_tensors(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Yield named tensors, each of them whole; every process has to walk through them."""
    return ((name, whole(tensor)) for name, tensor in tensors)


def gathered(tensors: Iterable[tuple[str, Tensor]], keep: bool) -> dict[str, Tensor]:
    """Return named tensors by their names, whole; on the CPU where they were spread.

    Args:
        tensors: every process has to walk through them.
        keep: whether this process wants them; nothing is returned otherwise.
    """
    kept: dict[str, Tensor] = {}
    for name, tensor in tensors:
        full = whole(tensor)
        if keep:
            kept[name] = full.cpu() if is_spread(tensor) else full
    return kept


def whole_state(module: nn.Module, keep: bool) -> dict[str, Tensor]:
    """Return a module's state as `gathered` does."""
    return gathered(module.state_dict(keep_vars=True).items(), keep)


@torch.no_grad()
def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Put the weights of `source` into a frozen copy of it; every process has to."""
    theirs: dict[str, Tensor] = source.state_dict(keep_vars=True)
    for tensor, own in zip(theirs.values(), target.state_dict().values(), strict=True):
        own.copy_(tensor if isinstance(own, DTensor) else whole(tensor))


def load_state(module: nn.Module, state: Mapping[str, Tensor], strict: bool = True) -> None:
    """Put a whole state into `module`; each process keeps its shards."""
    if _has_shards(module):
        options = StateDictOptions(full_state_dict=True, strict=strict)
        set_model_state_dict(module, dict(state), options=options)
    else:
        module.load_state_dict(state, strict=strict)


def optimizer_state(module: nn.Module, optimizer: Any) -> dict[str, Any]:
    """Return a torch optimizer's state by the names of `module`'s parameters, whole.

    Sharded, every process has to ask; it is gathered on the CPU of the main one, and empty
    elsewhere. So a state that was saved under one number of processes loads under any. DeepSpeed's
    is not to be had: it is empty.
    """
    if type(optimizer).__name__ == "DeepSpeedOptimizerWrapper":
        return {}
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return get_optimizer_state_dict(
        module, _bare(optimizer), options=options if _has_shards(module) else None
    )


def load_optimizer_state(module: nn.Module, optimizer: Any, state: dict[str, Any]) -> None:
    """Put back what `optimizer_state` returned; each process keeps what is its own.

    Raises:
        CheckpointError: it is of other parameters, or goes by numbers as it did once.
    """
    own = {name.removeprefix("module.") for name, p in module.named_parameters() if p.requires_grad}
    saved = {name for group in state.get("param_groups", ()) for name in group["params"]}
    if saved != own:
        raise CheckpointError(
            "the optimizer's state in the checkpoint is of other parameters, or of an earlier "
            "version of Palestra. Remove the stage's folder from the run to begin it anew"
        )
    options = StateDictOptions(full_state_dict=True)
    set_optimizer_state_dict(
        module, _bare(optimizer), state, options=options if _has_shards(module) else None
    )


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Put the weights of a Hugging Face folder into `model`.

    Raises:
        CheckpointError: the weights are not all there, or not of this model.
    """
    # The model's own loader knows shards, and weights that are stored in another form.
    loaded: Any = type(model).from_pretrained(folder, dtype=model.dtype, output_loading_info=True)
    stored, report = loaded
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if report[problem]:
            names = ", ".join(sorted(map(str, report[problem]))[:3])
            raise CheckpointError(f"{folder}: {problem.replace('_', ' ')}: {names}")
    load_state(model, stored.state_dict())


def _has_shards(module: nn.Module) -> bool:
    return any(isinstance(p, DTensor) for p in module.parameters())


def _bare(optimizer: Any) -> torch.optim.Optimizer:
    """Return the torch optimizer that Accelerate has wrapped."""
    return getattr(optimizer, "optimizer", optimizer)
