"""One vLLM server as the trainer sees it: what is asked of it over HTTP, and whether that is right.

Completions come by ``/inference/v1/generate`` (token ids in, token ids out), weights go by the
routes of vLLM's weight-transfer API. Nothing that a server says is taken on trust: see `_checked`.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from palestra.errors import ConfigError, TrainingError
from palestra.rollout.samplers.base import Completion, Request, StopReason
from palestra.rollout.samplers.vllm_request import check_length, sampling_arguments

if TYPE_CHECKING:
    from palestra.rollout.samplers.config import VLLMServerConfig

_GENERATE = "/inference/v1/generate"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_FRESH = "default"  # the version of weights that a server was started with


class ReplicaFailed(Exception):
    """A server did not do what was asked of it.

    Attributes:
        wrong: it was there, and gave no good answer or none in time; else it may only be away.
    """

    def __init__(self, text: str, *, wrong: bool = False) -> None:
        super().__init__(text)
        self.wrong = wrong


class Replica:
    """A server, its state, and its load; lives in one event loop.

    Args:
        url: where it is.
        config: deadlines.
        client: makes the connections.

    Attributes:
        ready: whether it is up and holds the weights that are wanted.
        active: requests that it works on.
        reason: why it is not ready.
        lost: done as soon as it is found to be away, so that nobody waits for it.
    """

    def __init__(self, url: str, config: VLLMServerConfig, client: httpx.AsyncClient) -> None:
        self.url, self._config, self._client = url, config, client
        self.ready, self.active, self.reason = False, 0, "not asked yet"
        self.lost: asyncio.Event = asyncio.Event()
        self._held = ""  # the version that this run gave it last
        self._context = 0
        self._near = urlsplit(url).hostname in _LOOPBACK

    # -- state -----------------------------------------------------------------------------------

    async def holds(self, version: str, session: str) -> bool:
        """Ask whether it is up, and whether it has the weights of `version`.

        Raises:
            ReplicaFailed: it is away.
            ConfigError: it is no server that weights can be given to.
            TrainingError: another run has given it weights since this one did.
        """
        deadline = self._config.health_timeout_s
        await self._ask("GET", "/health", deadline)
        if not self._context:
            models: Any = await self._ask("GET", "/v1/models", deadline)
            self._context = int(models["data"][0]["max_model_len"])
        about: Any = await self._ask("GET", "/weight_info", deadline)
        held = str(about.get("weight_version"))
        foreign = held not in (_FRESH, self._held) and not held.startswith(session)
        if self._held and foreign:
            raise TrainingError(
                f"{self.url} was given weights by another run ({held}): a server serves one run"
            )
        return held == version

    async def take(self, version: str, files: Sequence[Path]) -> None:
        """Give it weights: nothing runs meanwhile, and every cached prefix is forgotten.

        Args:
            version: what it calls them from then on.
            files: safetensors, bucket by bucket.
        """
        deadline = self._config.sync_timeout_s
        await self._ask("POST", "/pause?mode=abort", deadline)
        await self._ask("POST", "/init_weight_transfer_engine", deadline, {"init_info": {}})
        try:
            await self._ask("POST", "/start_weight_update", deadline)
        except ReplicaFailed as exc:
            if not exc.wrong:
                raise
            # A trainer that was killed left an update open.
            await self._ask("POST", "/finish_weight_update", deadline, {})
            await self._ask("POST", "/start_weight_update", deadline)
        for file in files:
            update = {"update_info": self._part(file)}
            try:
                await self._ask("POST", "/update_weights", deadline, update)
            except ReplicaFailed as exc:
                self._near = self._near and not exc.wrong  # a container sees other files
                raise
        await self._ask("POST", "/finish_weight_update", deadline, {"weight_version": version})
        await self._ask("POST", "/reset_prefix_cache", deadline)
        await self._ask("POST", "/resume", deadline)
        self._held = version

    def _part(self, file: Path) -> dict[str, str]:
        """Return a bucket: on this machine where it lies, which is ten times as quick."""
        if self._near:
            return {"file": str(file)}
        return {"safetensors": base64.b64encode(file.read_bytes()).decode("ascii")}

    # -- completions -----------------------------------------------------------------------------

    async def complete(self, request: Request, version: str) -> Completion:
        """Return a completion, sampled with the weights of `version`.

        Raises:
            ReplicaFailed: it went away, took too long, failed, or answered something else.
            TrainingError: it refuses the request as such.
        """
        check_length(request, self._context)
        body = {
            "token_ids": list(request.token_ids),
            "sampling_params": sampling_arguments(request),
            "return_token_ids": True,
        }
        ask = asyncio.ensure_future(
            self._ask("POST", _GENERATE, self._config.request_timeout_s, body)
        )
        lost = asyncio.ensure_future(self.lost.wait())
        try:
            await asyncio.wait((ask, lost), return_when=asyncio.FIRST_COMPLETED)
            if not ask.done():
                raise ReplicaFailed(self.reason)
            return self._checked(request, version, ask.result())
        finally:
            ask.cancel()
            lost.cancel()

    def _checked(self, request: Request, version: str, answer: Any) -> Completion:
        """Turn an answer into a completion; refuse one that is not what was asked for."""
        try:
            choices = answer["choices"]
            if len(choices) != 1:
                raise ValueError(f"{len(choices)} completions instead of 1")
            (choice,) = choices
            ids = tuple(int(i) for i in choice["token_ids"])
            entries = choice["logprobs"]["content"]
            logprobs = np.array([entry["logprob"] for entry in entries], dtype=np.float32)
            versions = {str(span["version"]) for span in choice["weight_versions"]}
            prompt = answer.get("prompt_token_ids")
            if prompt is not None and tuple(prompt) != request.token_ids:
                raise ValueError("the completion of another prompt")
            if not 0 < len(ids) <= request.params.max_tokens:
                asked = request.params.max_tokens
                raise ValueError(f"{len(ids)} tokens where 1 to {asked} were asked for")
            if [int(entry["token_id"]) for entry in entries] != list(ids):
                raise ValueError("log-probs of other tokens than those of the completion")
            if not np.isfinite(logprobs).all() or (logprobs > 1e-3).any():
                raise ValueError("log-probs that are none")
            reason: StopReason = "stop" if ids[-1] in request.stop_token_ids else "length"
            if choice["finish_reason"] != reason:
                said = choice["finish_reason"]
                raise ValueError(f"'{said}' for its end where the last token says '{reason}'")
        except ValueError as exc:
            raise ReplicaFailed(f"{self.url} answered {exc}", wrong=True) from exc
        except (KeyError, TypeError, AttributeError) as exc:
            lacks = "something without token_ids, logprobs or weight_versions"
            raise ReplicaFailed(f"{self.url} answered {lacks}", wrong=True) from exc
        if versions != {version}:
            raise ReplicaFailed(f"{self.url} sampled with weights {', '.join(sorted(versions))}")
        return Completion(index=0, token_ids=ids, logprobs=logprobs, stop_reason=reason)

    # -- HTTP ------------------------------------------------------------------------------------

    async def _ask(
        self, method: str, path: str, deadline: float, body: object | None = None
    ) -> Any:
        try:
            async with asyncio.timeout(deadline):
                answer = await self._client.request(method, self.url + path, json=body)
        except TimeoutError as exc:
            route = path.partition("?")[0]
            late = f"{self.url}{route} did not answer in {deadline:g} s"
            raise ReplicaFailed(late, wrong=route == _GENERATE) from exc
        except httpx.HTTPError as exc:
            raise ReplicaFailed(f"{self.url} is not reachable: {_cause(exc)}") from exc
        return self._read(path.partition("?")[0], answer)

    def _read(self, route: str, answer: httpx.Response) -> Any:
        status, said = answer.status_code, _said(answer)
        if status == 404:
            raise ConfigError(
                f"{self.url} has no {route}: start it by `palestra serve-sampler`, which turns on "
                "the routes that training needs"
            )
        if 400 <= status < 500 and status != 429:
            raise TrainingError(f"{self.url}{route} refuses the request ({status}): {said}")
        if status != 200:
            raise ReplicaFailed(f"{self.url}{route} answered {status}: {said}", wrong=True)
        if not answer.content:
            return {}
        try:
            return answer.json()
        except ValueError as exc:
            raise ReplicaFailed(f"{self.url}{route} answered no JSON: {said}", wrong=True) from exc


def _said(answer: httpx.Response) -> str:
    """Return the beginning of what a server said, on one line."""
    return " ".join(answer.text[:2000].split())[:200] or "nothing"


def _cause(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
