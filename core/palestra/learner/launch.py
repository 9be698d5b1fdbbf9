"""The accelerator of a run: what it was launched as, where that is something we can do.

Accelerate passes FSDP and DeepSpeed over where there is no GPU. Neither needs one, so a recipe can
be tried sharded on any machine.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from palestra.errors import ConfigError

if TYPE_CHECKING:
    from accelerate import Accelerator


def launched(**options: Any) -> Accelerator:
    """Return an `Accelerator` made with `options`, as the launch wants it.

    Raises:
        ConfigError: the launch asks for FSDP's first version, or for DeepSpeed where that is not
            installed.
    """
    fsdp, deepspeed = _asked("FSDP"), _asked("DEEPSPEED")
    if deepspeed and find_spec("deepspeed") is None:
        raise ConfigError("launched for DeepSpeed, which is not installed: pip install deepspeed")
    from accelerate import Accelerator
    from accelerate.utils import DistributedType

    accelerator = Accelerator(**options)
    if accelerator.distributed_type == DistributedType.MULTI_CPU:
        if fsdp:
            _shard_on_cpu(accelerator)
        if deepspeed:
            _deepspeed_on_cpu(accelerator)
    if accelerator.distributed_type == DistributedType.FSDP and not accelerator.is_fsdp2:
        raise ConfigError(
            "the launch configuration asks for the first version of FSDP. "
            "Say `fsdp_version: 2` in its fsdp_config, or launch with palestra's fsdp2.yaml"
        )
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        _settle_deepspeed(accelerator)
    return accelerator


def _asked(what: str) -> bool:
    return os.environ.get(f"ACCELERATE_USE_{what}", "false").lower() == "true"


def _shard_on_cpu(accelerator: Accelerator) -> None:
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    plugin = FullyShardedDataParallelPlugin()
    if accelerator.mixed_precision != "no":
        plugin.set_mixed_precision(accelerator.mixed_precision)
    accelerator.state.fsdp_plugin = plugin
    _become(accelerator, DistributedType.FSDP)


def _deepspeed_on_cpu(accelerator: Accelerator) -> None:
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from accelerate.utils import DeepSpeedPlugin, DistributedType
    from deepspeed import comm  # pyright: ignore[reportMissingImports]

    comm.init_distributed(dist_backend="gloo", auto_mpi_discovery=False)
    plugin = DeepSpeedPlugin(zero3_init_flag=False)
    plugin.set_mixed_precision(accelerator.mixed_precision)
    plugin.select(_from_accelerator_state=True)
    accelerator.state.deepspeed_plugins = plugin
    _become(accelerator, DistributedType.DEEPSPEED)


def _settle_deepspeed(accelerator: Accelerator) -> None:
    from transformers.integrations import unset_hf_deepspeed_config

    # Batches are cut by tokens, not by rows; DeepSpeed wants a number, and scales by none.
    plugin: Any = accelerator.state.deepspeed_plugin
    plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = 1
    plugin.deepspeed_config["gradient_accumulation_steps"] = 1
    # Models are loaded whole, and partitioned when they are to be trained: a reference, a teacher
    # and a sampler's copy are not.
    unset_hf_deepspeed_config()


def _become(accelerator: Accelerator, kind: Any) -> None:
    from accelerate import PartialState

    accelerator.state.distributed_type = kind
    shared: Any = PartialState()  # its state is every other one's, too
    shared.distributed_type = kind
