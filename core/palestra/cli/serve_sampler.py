"""``palestra serve-sampler``: a vLLM server, started as the sampler `vllm-server` wants it."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Literal

import typer

from palestra.errors import ConfigError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


_DEFAULTS = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; vLLM would take most of the memory
    "OMP_WAIT_POLICY": "PASSIVE",  # it may share its cores with a trainer
}
"""What vLLM reads from the environment; what the user has set there wins."""


@app.command("serve-sampler")
def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="The recipe's model: tiny, a folder or a hub id.")
    ],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Who can reach it: only this machine, or 0.0.0.0 for all.")
    ] = "127.0.0.1",
    precision: Annotated[
        Literal["fp32", "bf16", "fp16"], typer.Option(help="The recipe's engine.precision.")
    ] = "fp32",
    max_batch: Annotated[int, typer.Option(min=1, help="Completions generated at once.")] = 256,
    max_model_len: Annotated[
        int | None, typer.Option(min=2, help="Tokens of a prompt with its completion.")
    ] = None,
    gpu_memory_utilization: Annotated[
        float, typer.Option(help="Share of a GPU's memory that it takes.")
    ] = 0.9,
    tensor_parallel_size: Annotated[
        int, typer.Option(min=1, help="GPUs that the model is spread over.")
    ] = 1,
    kv_cache_gb: Annotated[
        int | None, typer.Option(min=1, help="GiB of key-value cache on a CPU.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    enforce_eager: Annotated[
        bool, typer.Option("--enforce-eager/--cuda-graphs", help="Do without CUDA graphs.")
    ] = False,
) -> None:
    """Start a vLLM server whose weights a run may replace; it serves until it is stopped.

    Whoever reaches it can load weights into it and run code of vLLM's development routes: keep it
    on this machine or on a network that you trust.
    """
    from palestra.precision import DTYPES
    from palestra.recipe.models import resolve_model
    from palestra.rollout.samplers.vllm_install import check_vllm
    from palestra.rollout.samplers.vllm_weights import BACKEND

    check_vllm(lambda text: print(f"note: {text}", file=sys.stderr))
    source = resolve_model(model).source
    if threads is not None and threads > (os.cpu_count() or threads):
        raise ConfigError(f"--threads {threads}: this machine has {os.cpu_count()} cores")
    # The command `vllm serve` asks for the version of a package "vllm", which vllm-cpu is not.
    arguments = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", source]
    options = {
        "--host": host,
        "--port": port,
        "--dtype": DTYPES[precision],
        "--max-num-seqs": max_batch,
        "--max-model-len": max_model_len,
        "--gpu-memory-utilization": gpu_memory_utilization,
        "--tensor-parallel-size": tensor_parallel_size,
        "--logprobs-mode": "processed_logprobs",
        "--weight-transfer-config": json.dumps({"backend": BACKEND}),
        "--seed": 0,
    }
    for name, value in options.items():
        arguments += [name, str(value)] if value is not None else []
    arguments += ["--enable-scale-out", "--disable-log-stats"]
    arguments += ["--enforce-eager"] if enforce_eager else []
    environment = {**_DEFAULTS, **os.environ}
    environment["VLLM_SERVER_DEV_MODE"] = "1"  # the routes of the weight-transfer API
    if kv_cache_gb is not None:
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(kv_cache_gb)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    os.execvpe(sys.executable, arguments, environment)
