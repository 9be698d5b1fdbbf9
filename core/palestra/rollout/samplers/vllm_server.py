"""vLLM on any number of servers: least-loaded routing, and a run that outlives each of them.

A server that goes away costs its completions time: they are asked of another one, with the same
seeds. It is taken back as soon as it answers again and holds the weights that are wanted, which it
is given from a copy that this process keeps on its disk.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from palestra.errors import PalestraError, TrainingError
from palestra.rollout.samplers.base import Completion, Request, Sampler, SamplerContext
from palestra.rollout.samplers.config import VLLMServerConfig
from palestra.rollout.samplers.replica import Replica, ReplicaFailed
from palestra.rollout.samplers.vllm_weights import buckets, encode

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

_WRONG_ANSWERS = 4  # to one request, before the run stops: it is no passing trouble then
_CHECK_EVERY = 2.0  # seconds


class VLLMServerSampler(Sampler):
    """Samples by `palestra serve-sampler` processes.

    Args:
        context: the run's; process 0 gives the weights to all servers.
        options: see `VLLMServerConfig`.
    """

    continuous = True

    def __init__(self, context: SamplerContext, **options: Any) -> None:
        self._config = VLLMServerConfig.model_validate(options)
        self._context = context
        self._version = ""
        self._files: list[Path] = []
        self._spool: Path | None = None
        self._opening = threading.Lock()
        self._failure: PalestraError | None = None  # what no other server could mend
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="vllm-servers", daemon=True
        )
        self._thread.start()
        self._call(self._open())
        if context.world > 1:  # all processes have to take part, even one that will ask nothing
            self._send_first()

    # -- what a run asks for -----------------------------------------------------------------------

    def submit(self, request: Request) -> Future[Completion]:
        """Ask whichever server is least busy.

        The future raises TrainingError where no server was there for `recovery_timeout_s`, one
        refuses the request, or the answers are wrong again and again.
        """
        with self._opening:
            if not self._version:  # a stage that does not train
                self._send_first()
        return asyncio.run_coroutine_threadsafe(self._one(request), self._loop)

    def update_weights(self, tensors: Iterator[tuple[str, Tensor]], version: int) -> None:
        """Copy the weights to this process's disk, and give them to every server that is there."""
        label = f"{self._context.session}-{version}"
        label += "+" if label == self._version else ""  # sent again: not to be taken for the same
        if self._context.rank == 0:
            self._call(self._set_version(label, self._write(tensors, version)))
        else:
            for _ in tensors:  # gathering them takes every process
                continue
        self._context.wait()  # the servers hold them now
        if self._context.rank != 0:
            self._call(self._set_version(label, []))

    def _send_first(self) -> None:
        """Give the servers the model as it was loaded."""
        context = self._context
        model = context.model if context.copy is None else context.copy()
        self.update_weights(iter(model.state_dict().items()), version=0)

    def close(self) -> None:
        """Cancel what is asked, and remove the copy of the weights; leave the servers running."""
        if not self._thread.is_alive():
            return
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._spool is not None:
            shutil.rmtree(self._spool, ignore_errors=True)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _write(self, tensors: Iterator[tuple[str, Tensor]], version: int) -> list[Path]:
        """Write the buckets of a version; one bucket is in memory at a time."""
        if self._spool is None:
            scratch = self._context.scratch
            self._spool = scratch or Path(tempfile.mkdtemp(prefix="palestra-weights-"))
            shutil.rmtree(self._spool, ignore_errors=True)  # a killed run's
        folder = self._spool.resolve() / str(version)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        files: list[Path] = []
        for number, bucket in enumerate(buckets(tensors)):
            files.append(folder / f"{number:04d}.safetensors")
            files[-1].write_bytes(encode(bucket))
        return files

    # -- in the event loop -------------------------------------------------------------------------

    async def _open(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = httpx.AsyncClient(timeout=None, limits=limits, trust_env=False)
        self._replicas = [Replica(u, self._config, self._client) for u in self._config.urls]
        self._changed = asyncio.Condition()  # a server became ready, or less busy
        self._keepers: list[asyncio.Task[None]] = []

    async def _shut(self) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._client.aclose()

    async def _set_version(self, label: str, files: list[Path]) -> None:
        """Make `label` the version that is wanted; returns when one server at least has it."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        old, self._files, self._version = self._files, files, label
        there = [replica for replica in self._replicas if replica.ready] or self._replicas
        for replica in self._replicas:
            replica.ready = False
        # Those that were there are waited for, so that a step begins with all of them.
        await asyncio.gather(*[self._try_bring(replica) for replica in there])
        self._keepers = [asyncio.create_task(self._keep(replica)) for replica in self._replicas]
        await self._some_replica()
        if old and old[0].parent != (files[0].parent if files else None):
            shutil.rmtree(old[0].parent, ignore_errors=True)

    async def _keep(self, replica: Replica) -> None:
        """Watch over a server as long as its weights are wanted: take it in, and take it back."""
        while True:
            try:
                await self._try_bring(replica)
            except PalestraError as exc:  # a mistake: no waiting mends it
                self._failure = exc
                await self._lose(replica, str(exc))
                return
            await asyncio.sleep(_CHECK_EVERY)

    async def _try_bring(self, replica: Replica) -> None:
        """Make a server ready if it is there: give it the weights, where it does not hold them."""
        try:
            holds = await replica.holds(self._version, self._context.session)
            if not holds:
                replica.ready = False
                if self._context.rank == 0:
                    await replica.take(self._version, self._files)
                    holds = True
        except ReplicaFailed as exc:
            await self._lose(replica, str(exc))
            return
        if holds and not replica.ready:
            if replica.lost.is_set():
                self._context.note(f"{replica.url} is back, with the current weights")
            replica.lost.clear()
            replica.ready, replica.reason = True, ""
            await self._tell()

    async def _lose(self, replica: Replica, reason: str) -> None:
        """Take a server out, and wake up who waits for it."""
        if reason != replica.reason:
            self._context.note(f"sampling goes on without {replica.url}: {reason}")
        replica.ready, replica.reason = False, reason
        replica.lost.set()
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _one(self, request: Request) -> Completion:
        """Ask until a server has answered as it should."""
        wrong = 0
        while True:
            replica = await self._least_loaded()
            try:
                return await replica.complete(request, self._version)
            except ReplicaFailed as exc:
                wrong += exc.wrong
                if wrong == _WRONG_ANSWERS:
                    raise TrainingError(
                        f"{exc} ({wrong} times one request went wrong); look at the server's log, "
                        "or raise engine.sampler.request_timeout_s if completions take that long"
                    ) from exc
                await self._lose(replica, str(exc))
            finally:
                replica.active -= 1
                await self._tell()

    async def _least_loaded(self) -> Replica:
        """Take a place at the server with the fewest requests, and wait for one if need be."""
        while True:
            await self._some_replica()
            free = [r for r in self._replicas if r.ready and r.active < self._config.max_concurrent]
            if free:
                chosen = min(free, key=lambda r: r.active)
                chosen.active += 1
                return chosen
            async with self._changed:
                try:  # a change may have come before this waited for one
                    await asyncio.wait_for(self._changed.wait(), timeout=_CHECK_EVERY)
                except TimeoutError:
                    continue

    async def _some_replica(self) -> None:
        """Return when a server is ready.

        Raises:
            TrainingError: none was for `recovery_timeout_s`.
        """
        deadline = time.monotonic() + self._config.recovery_timeout_s
        while not any(replica.ready for replica in self._replicas):
            if self._failure is not None:
                raise self._failure
            left = deadline - time.monotonic()
            if left <= 0:
                reasons = "; ".join(dict.fromkeys(r.reason for r in self._replicas))
                raise TrainingError(
                    f"engine.sampler.urls: no server for {self._config.recovery_timeout_s:g} s: "
                    f"{reasons}. Start one by: palestra serve-sampler MODEL. The run goes on with "
                    "--resume"
                )
            async with self._changed:
                try:
                    await asyncio.wait_for(self._changed.wait(), timeout=min(left, _CHECK_EVERY))
                except TimeoutError:
                    continue
