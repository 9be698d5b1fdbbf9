"""vLLM in the trainer's process: its engine, its scheduler, and no copy of a prompt or a weight.

What is drawn is a function of each request's seed up to rounding: vLLM batches as it likes, so its
logits differ in the last digits from run to run, and a token on the edge may fall either way.
"""

from __future__ import annotations

import gc
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from importlib import import_module
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from palestra.errors import ConfigError, TrainingError
from palestra.rollout.samplers.base import (
    Completion,
    Request,
    Sampler,
    SamplerContext,
    StopReason,
)
from palestra.rollout.samplers.config import VLLMConfig
from palestra.rollout.samplers.vllm_install import DTYPES, import_vllm, prepare_environment
from palestra.rollout.samplers.vllm_request import check_length, sampling_arguments
from palestra.rollout.samplers.vllm_weights import BACKEND, buckets, register

if TYPE_CHECKING:
    from torch import Tensor


class VLLMSampler(Sampler):
    """Samples with a vLLM engine of its own beside the policy.

    Args:
        context: the run's; the engine loads `source`, and takes later weights by `update_weights`.
        options: see `VLLMConfig`.

    Raises:
        ConfigError: vLLM is not installed, too old or too new for this torch, cannot serve the
            model, or finds too little memory.
    """

    continuous = True

    def __init__(self, context: SamplerContext, **options: Any) -> None:
        config = VLLMConfig.model_validate(options)
        prepare_environment(config.kv_cache_gb)
        self._vllm = import_vllm(context.note)
        register()
        self._llm: Any = _engine(self._vllm, context, config)
        self._llm.init_weight_transfer_engine({"init_info": {}})
        self._engine: Any = self._llm.llm_engine
        self._limit = int(self._llm.model_config.max_model_len)
        self._numbers = itertools.count()
        self._finished: dict[str, deque[Completion]] = {}  # by call of `generate`
        self._asked: dict[str, tuple[str, int]] = {}  # request id: its call, and its index there
        self._lock = RLock()
        self._can_sleep, self._asleep = context.model.device.type == "cuda", False

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield each completion as it finishes, in whatever order that is.

        Raises:
            TrainingError: a prompt leaves no room in the model's context.
        """
        for request in requests:
            check_length(request, self._limit)
        self._wake()
        call = f"call-{next(self._numbers)}"
        done = self._finished[call] = deque()
        left = len(requests)
        try:
            for index, request in enumerate(requests):
                name = f"{call}-{index}"
                self._asked[name] = (call, index)
                prompt = {"prompt_token_ids": list(request.token_ids)}
                with self._lock:
                    self._engine.add_request(name, prompt, self._params(request))
            while left:
                while not done:
                    self._step(done)
                yield done.popleft()
                left -= 1
        finally:
            del self._finished[call]
            rest = [name for name, (owner, _) in self._asked.items() if owner == call]
            for name in rest:
                del self._asked[name]
            if rest:
                with self._lock:
                    self._engine.abort_request(rest)

    def _step(self, wanted: deque[Completion]) -> None:
        """Let the engine work once, and hand what has finished to whoever asked for it."""
        with self._lock:
            if wanted:  # another thread's step has brought it
                return
            try:
                outputs = self._engine.step()
            except Exception as exc:  # vLLM's own, a driver's, or out of memory
                raise TrainingError(f"vLLM stopped while it sampled: {_why(exc)}") from exc
            for output in outputs:
                if output.finished and output.request_id in self._asked:
                    call, index = self._asked.pop(output.request_id)
                    self._finished[call].append(_completion(index, output.outputs[0]))

    def _params(self, request: Request) -> Any:
        kinds: Any = import_module("vllm.sampling_params").RequestOutputKind
        return self._vllm.SamplingParams(
            **sampling_arguments(request), output_kind=kinds.FINAL_ONLY
        )

    def update_weights(self, tensors: Iterator[tuple[str, Tensor]], version: int) -> None:
        """Load the weights bucket by bucket, and forget every cached prefix."""
        self._wake()
        llm = self._llm
        llm.start_weight_update()
        for bucket in buckets(tensors):
            llm.update_weights({"update_info": {"tensors": bucket}})
        llm.finish_weight_update(str(version))
        llm.reset_prefix_cache()

    def sleep(self) -> None:
        """On a GPU: move the weights to the host and free the cache until the next call."""
        if self._can_sleep and not self._asleep:
            self._llm.sleep(level=1)
            self._asleep = True

    def _wake(self) -> None:
        if self._asleep:
            self._llm.wake_up()
            self._asleep = False

    def close(self) -> None:
        """Shut the engine down, and give torch's threads back."""
        if self._llm is None:
            return
        self._engine.engine_core.shutdown()
        self._llm = self._engine = None
        gc.collect()


def _completion(index: int, output: Any) -> Completion:
    ids = tuple(output.token_ids)
    logprobs = [entry[token].logprob for token, entry in zip(ids, output.logprobs, strict=True)]
    reason: StopReason = "stop" if output.finish_reason == "stop" else "length"
    return Completion(
        index=index,
        token_ids=ids,
        logprobs=np.array(logprobs, dtype=np.float32),
        stop_reason=reason,
    )


def _engine(vllm: Any, context: SamplerContext, config: VLLMConfig) -> Any:
    import torch

    on_cpu = context.model.device.type == "cpu"
    eager = config.enforce_eager if config.enforce_eager is not None else on_cpu
    set_threads = torch.set_num_threads  # vLLM replaces it where there is no GPU
    state = torch.get_rng_state()  # and seeds torch anew
    try:
        return vllm.LLM(
            context.source,
            dtype=DTYPES[context.precision],
            seed=0,
            max_model_len=config.max_model_len,
            max_num_seqs=config.max_batch,
            gpu_memory_utilization=config.gpu_memory_utilization,
            enforce_eager=eager,
            enable_sleep_mode=not on_cpu,
            logprobs_mode="processed_logprobs",
            weight_transfer_config={"backend": BACKEND},
            disable_log_stats=True,
            use_tqdm_on_load=False,
            trust_remote_code=False,
        )
    except Exception as exc:
        raise ConfigError(f"engine.sampler: vLLM cannot serve the model: {_why(exc)}") from exc
    finally:
        torch.set_num_threads = set_threads
        torch.set_rng_state(state)


def _why(exc: Exception) -> str:
    text = " ".join(str(exc).split())
    if "memory" in text.lower():
        return (
            f"too little memory ({text[:200]}); try a smaller max_model_len, max_batch, "
            "kv_cache_gb (CPU) or gpu_memory_utilization (GPU)"
        )
    return f"{type(exc).__name__}: {text[:300]}"
