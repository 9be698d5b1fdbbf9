"""LoRA (arXiv 2106.09685) through `peft`: few weights are trained, the rest stays as it was.

The model keeps its class and its names: adapters are put into its linear layers, so samplers and
log-probs see the adapted model, `merged` gives weights that a sampler or a folder can hold, and the
reference policy is the same model with its adapters off, for no memory at all.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from palestra.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from palestra.learner.config import LoRAConfig

_BASE = ".base_layer."


def add_adapters(model: PreTrainedModel, config: LoRAConfig, seed: int) -> None:
    """Put adapters into `model`, and leave them alone trainable; they begin by changing nothing.

    Raises:
        ConfigError: peft is not installed, or no layer has such a name.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError as exc:
        raise ConfigError("engine.lora needs peft. Run: pip install 'palestra[lora]'") from exc
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(
                LoraConfig(
                    r=config.rank,
                    lora_alpha=cast("Any", config.alpha),
                    target_modules=config.target_modules or _linear_layers(model),
                ),
                model,
            )
        except ValueError as exc:
            line = " ".join(str(exc).split())
            raise ConfigError(f"engine.lora.target_modules: {line}") from exc


def _linear_layers(model: PreTrainedModel) -> list[str]:
    """Return the last part of the name of every linear layer but the head."""
    head = model.get_output_embeddings()
    found = [
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    ]
    return sorted(set(found))


def has_adapters(model: torch.nn.Module) -> bool:
    """Whether `add_adapters` was here."""
    return any(_BASE in name for name, _ in model.named_parameters())


@contextmanager
def adapters_off(model: torch.nn.Module) -> Generator[None]:
    """Have the model compute as it did before its adapters, for as long as the context lasts."""
    layers = list(_layers(model))
    for layer in layers:
        layer.enable_adapters(enabled=False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(enabled=True)


@torch.no_grad()
def merged(model: torch.nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the model's weights under their names without adapters, what these add included."""
    adapted = {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}
    for name, tensor in model.state_dict().items():
        if ".lora_" in name:
            continue
        owner, found, _ = name.partition(_BASE)
        if found and name.endswith(".weight"):
            delta = cast("Any", adapted[owner]).get_delta_weight("default")
            tensor = tensor + delta.to(tensor.dtype)
        yield name.replace(_BASE, "."), tensor


def adapter_state(model: torch.nn.Module) -> dict[str, Tensor]:
    """Return the adapters' weights."""
    return {name: tensor for name, tensor in model.state_dict().items() if ".lora_" in name}


def _layers(model: torch.nn.Module) -> Iterator[Any]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            yield module
