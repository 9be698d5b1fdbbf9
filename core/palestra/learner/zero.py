"""DeepSpeed's ZeRO, as far as it does not do as Accelerate's other engines do.

It clips and steps at once, and its third stage leaves a parameter empty but while the module that
owns it computes. Checkpoints hold weights alone: a stage that was killed cannot go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from palestra.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from accelerate import Accelerator


def stage(accelerator: Accelerator) -> int:
    """Return ZeRO's stage, or 0 for another engine."""
    from accelerate.utils import DistributedType

    if accelerator.distributed_type != DistributedType.DEEPSPEED:
        return 0
    plugin: Any = accelerator.state.deepspeed_plugin
    return int(plugin.deepspeed_config["zero_optimization"]["stage"])


def prepare(
    accelerator: Accelerator, module: nn.Module, optimizer: Any, max_norm: float
) -> tuple[Any, Any]:
    """Return DeepSpeed's engine of a module, and its optimizer, which the engine steps."""
    plugin: Any = accelerator.state.deepspeed_plugin
    plugin.deepspeed_config["gradient_clipping"] = max_norm
    accelerator.deepspeed_engine_wrapped = None  # an earlier stage's
    if stage(accelerator) == 3:
        _share_head(module)
    prepared: Any = accelerator.prepare(module, optimizer)
    return prepared[0], prepared[1]


def _share_head(module: Any) -> None:
    """Have the head's weights there while `module` computes: it takes them without the head."""
    import deepspeed  # pyright: ignore[reportMissingImports]

    head = module.model.get_output_embeddings() if hasattr(module, "model") else None
    if head is not None:
        deepspeed.zero.register_external_parameter(module, head.weight)


def step(engine: Any) -> float:
    """Clip and step, and return the gradient's norm; where that is no number, no step is taken."""
    engine.step()
    return float(engine.get_global_grad_norm())


def is_partitioned(tensor: Tensor) -> bool:
    """Whether a parameter is empty here, for DeepSpeed's third stage has its parts elsewhere."""
    return hasattr(tensor, "ds_id")


def whole(parameter: Tensor) -> Tensor:
    """Return a copy of all of a partitioned parameter; every process has to ask."""
    import deepspeed  # pyright: ignore[reportMissingImports]

    with deepspeed.zero.GatheredParameters([parameter]):
        return parameter.detach().clone()


def refuse_parts(accelerator: Accelerator, critic: bool, adapters: bool) -> None:
    """Refuse a second model that learns, and adapters whose base is in parts.

    Raises:
        ConfigError: DeepSpeed would have to step two engines for one loss, or adapters would have
            to be merged into what is not there.
    """
    if stage(accelerator) == 3 and adapters:
        raise ConfigError(
            "engine.lora does not go with DeepSpeed's third stage. Take its second, or launch with "
            "FSDP2 (palestra's fsdp2.yaml)"
        )
    if stage(accelerator) and critic:
        raise ConfigError(
            "an optimizer with a critic does not train under DeepSpeed, which steps one model for "
            "a loss. Launch with FSDP2 (palestra's fsdp2.yaml)"
        )


def refuse_resume(accelerator: Accelerator) -> None:
    """Refuse to go on in the middle of a stage.

    Raises:
        CheckpointError: the state of DeepSpeed's optimizer is in no checkpoint.
    """
    if stage(accelerator):
        raise CheckpointError(
            "checkpoints made under DeepSpeed hold weights alone, so a stage that was stopped "
            "there cannot go on. Remove its folder from the run's `stages` to begin it anew, or "
            "launch with FSDP2 (palestra's fsdp2.yaml), which goes on"
        )
