"""vLLM in the trainer's process: its engine, its scheduler, and no copy of a prompt or a weight.

What is drawn is a function of each request's seed up to rounding: vLLM batches as it likes, so its
logits differ in the last digits from run to run, and a token on the edge may fall either way.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from palestra.errors import ConfigError, TrainingError
from palestra.precision import DTYPES
from palestra.rollout.samplers.base import (
    Completion,
    Request,
    Sampler,
    SamplerContext,
    StopReason,
)
from palestra.rollout.samplers.config import VLLMConfig
from palestra.rollout.samplers.vllm_install import import_vllm, prepare_environment
from palestra.rollout.samplers.vllm_request import check_length, sampling_arguments
from palestra.rollout.samplers.vllm_weights import BACKEND, buckets, register

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")


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
        self._can_sleep, self._asleep = context.model.device.type == "cuda", False
        self._is_shared = context.world > 1
        self._asked: dict[str, Future[Completion]] = {}
        self._numbers = itertools.count()
        # The engine's thread alone touches the engine: it works off `_inbox`, then steps.
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._open = True
        device = context.model.device
        self._thread = Thread(target=self._run, args=(device,), name="vllm-engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> Future[Completion]:
        """Add a request to those that the engine works on.

        Raises:
            TrainingError: the prompt leaves no room in the model's context.
        """
        check_length(request, self._limit)
        name = f"request-{next(self._numbers)}"
        future: Future[Completion] = Future()
        self._inbox.put(lambda: self._add(name, request, future))
        future.add_done_callback(
            lambda done: self._inbox.put(lambda: self._abort(name)) if done.cancelled() else None
        )
        return future

    def update_weights(self, tensors: Iterator[tuple[str, Tensor]], version: int) -> None:
        """Load the weights bucket by bucket, and forget every cached prefix."""
        llm = self._llm
        self._call(self._wake)
        self._call(llm.start_weight_update)
        for bucket in buckets(tensors):
            update = {"update_info": {"tensors": bucket}}
            self._call(lambda update=update: llm.update_weights(update))
        self._call(lambda: llm.finish_weight_update(str(version)))
        self._call(llm.reset_prefix_cache)

    def sleep(self) -> None:
        """On a GPU: move the weights to the host and free the cache until the next call."""
        if self._can_sleep:
            self._call(self._sleep)

    def close(self) -> None:
        """Cancel what is asked, shut the engine down, and give torch's threads back."""
        if not self._thread.is_alive():
            return
        self._inbox.put(self._end)
        self._thread.join()
        with _keeping_the_processes_together() if self._is_shared else nullcontext():
            self._engine.engine_core.shutdown()
        self._llm = self._engine = None
        gc.collect()

    def _call(self, work: Callable[[], T]) -> T:
        """Have the engine's thread do `work`, and return what it returns."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as exc:
                future.set_exception(exc)

        self._inbox.put(run)
        return future.result()

    # -- in the engine's thread --------------------------------------------------------------------

    def _run(self, device: torch.device) -> None:
        import torch

        if device.type == "cuda":  # which device is the current one is a thread's own affair
            torch.cuda.set_device(device)
        while self._open:
            if not self._asked:
                self._inbox.get()()
            while not self._inbox.empty():
                self._inbox.get()()
            if self._asked:
                self._step()

    def _add(self, name: str, request: Request, future: Future[Completion]) -> None:
        kinds: Any = import_module("vllm.sampling_params").RequestOutputKind
        params = self._vllm.SamplingParams(
            **sampling_arguments(request), output_kind=kinds.FINAL_ONLY
        )
        try:
            self._wake()
            prompt = {"prompt_token_ids": list(request.token_ids)}
            self._engine.add_request(name, prompt, params)
        except Exception as exc:
            if future.set_running_or_notify_cancel():
                future.set_exception(TrainingError(f"vLLM refuses a request: {_why(exc)}"))
        else:
            self._asked[name] = future

    def _abort(self, name: str) -> None:
        if self._asked.pop(name, None) is not None:
            with suppress(Exception):  # an engine that is broken says so in its next step
                self._engine.abort_request([name])

    def _step(self) -> None:
        """Let the engine work once, and hand out what has finished."""
        try:
            outputs = self._engine.step()
        except Exception as exc:  # vLLM's own, a driver's, or out of memory
            for future in self._taken():
                error = TrainingError(f"vLLM stopped while it sampled: {_why(exc)}")
                error.__cause__ = exc
                future.set_exception(error)
            return
        for output in outputs:
            future = self._asked.pop(output.request_id, None) if output.finished else None
            if future is not None and future.set_running_or_notify_cancel():
                future.set_result(_completion(output.outputs[0]))

    def _taken(self) -> list[Future[Completion]]:
        """Forget all that is asked, and return the futures that nobody has cancelled."""
        open_, self._asked = list(self._asked.values()), {}
        return [future for future in open_ if future.set_running_or_notify_cancel()]

    def _sleep(self) -> None:
        if not self._asleep:
            self._llm.sleep(level=1)
            self._asleep = True

    def _wake(self) -> None:
        if self._asleep:
            self._llm.wake_up()
            self._asleep = False

    def _end(self) -> None:
        self._open = False
        for future in list(self._asked.values()):
            future.cancel()


@contextmanager
def _keeping_the_processes_together() -> Generator[None]:
    """Leave the process group to the trainer: vLLM takes down with an engine what it stands on."""
    import torch.distributed

    destroy = torch.distributed.destroy_process_group

    def destroy_given(group: Any = None) -> None:
        if group is not None:
            destroy(group)

    torch.distributed.destroy_process_group = destroy_given
    try:
        yield
    finally:
        torch.distributed.destroy_process_group = destroy


def _completion(output: Any) -> Completion:
    ids = tuple(output.token_ids)
    logprobs = [entry[token].logprob for token, entry in zip(ids, output.logprobs, strict=True)]
    reason: StopReason = "stop" if output.finish_reason == "stop" else "length"
    return Completion(
        index=0,
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
            # Of a launch's processes each has an engine, on the device that is its own.
            distributed_executor_backend="external_launcher" if context.world > 1 else None,
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
