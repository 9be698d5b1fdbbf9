"""Weights into vLLM: a back-end of its public weight-transfer API that needs no GPU.

vLLM loads this module by the entry point ``vllm.general_plugins`` in every process of its own.
Tensors come as they are where trainer and engine share a process. Else they come as safetensors: in
a file's name where both are on one machine, and in base 64 over HTTP where they are not. No pickle,
no open port at the trainer, no shared folder. vLLM's own back-ends (nccl, ipc) move tensors between
GPUs only.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

BACKEND = "palestra"
"""The back-end's name: ``--weight-transfer-config '{"backend": "palestra"}'``."""

BUCKET_BYTES = 64 << 20
"""Tensors that travel together; one that is larger travels alone."""


def register() -> None:
    """Make the back-end known to vLLM; calling it again changes nothing."""
    factory: Any = import_module("vllm.distributed.weight_transfer").WeightTransferEngineFactory
    try:
        factory.register_engine(BACKEND, _engine())
    except ValueError:  # registered already: vLLM may load a plugin several times
        return


@cache
def _engine() -> type[Any]:
    """Return the engine's class; its bases are vLLM's, which is imported no sooner than needed."""
    base: Any = import_module("vllm.distributed.weight_transfer.base")

    @dataclass
    class InitInfo(base.WeightTransferInitInfo):
        pass

    @dataclass
    class UpdateInfo(base.WeightTransferUpdateInfo):
        tensors: Any = None
        safetensors: str | None = None
        file: str | None = None

    class Engine(base.WeightTransferEngine):
        init_info_cls = InitInfo
        update_info_cls = UpdateInfo

        def init_transfer_engine(self, init_info: Any) -> None:
            """There is no connection to make: each part comes with its call."""

        def start_weight_update(self) -> None:
            _reload().initialize_layerwise_reload(self.model)

        def update_weights(self, update_info: dict[str, Any]) -> None:
            # vLLM's own waits for an accelerator behind this, which a CPU does not have.
            self.receive_weights(self.parse_update_info(update_info))

        def receive_weights(self, update_info: Any) -> None:
            if update_info.tensors is not None:
                given = update_info.tensors
            elif update_info.file is not None:
                given = read(update_info.file)
            else:
                given = decode(update_info.safetensors)
            self.model.load_weights((name, tensor.to(self.device)) for name, tensor in given)

        def finish_weight_update(self) -> None:
            _reload().finalize_layerwise_reload(self.model, self.model_config)

        def shutdown(self) -> None:
            """There is nothing to release."""

    return Engine


def _reload() -> Any:
    return import_module("vllm.model_executor.model_loader.reload")


def buckets(
    tensors: Iterator[tuple[str, Tensor]], limit: int = BUCKET_BYTES
) -> Iterator[list[tuple[str, Tensor]]]:
    """Yield the tensors in their order, in lists of at most `limit` bytes, one or more each."""
    bucket: list[tuple[str, Tensor]] = []
    size = 0
    for name, tensor in tensors:
        more = tensor.numel() * tensor.element_size()
        if bucket and size + more > limit:
            yield bucket
            bucket, size = [], 0
        bucket.append((name, tensor.detach()))
        size += more
    if bucket:
        yield bucket


def encode(bucket: list[tuple[str, Tensor]]) -> bytes:
    """Return a bucket as safetensors; tensors that share memory (tied heads) are written each."""
    from safetensors.torch import save

    seen: set[int] = set()
    whole: dict[str, Tensor] = {}
    for name, tensor in bucket:
        plain = tensor.cpu().contiguous()
        whole[name] = plain.clone() if plain.data_ptr() in seen else plain
        seen.add(plain.data_ptr())
    return save(whole)


def read(file: str) -> Iterator[tuple[str, Tensor]]:
    """Yield what a file of `encode`'s bytes holds."""
    from safetensors.torch import load_file

    yield from load_file(file).items()


def decode(text: str) -> Iterator[tuple[str, Tensor]]:
    """Yield what `encode` wrote, from base 64."""
    from safetensors.torch import load

    yield from load(base64.b64decode(text, validate=True)).items()
