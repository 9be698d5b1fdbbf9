"""What the tests on a real vLLM share: the embedded model, servers, and requests.

They run in an environment of their own (`make test-vllm`); elsewhere all of them are skipped.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from palestra.rollout.samplers.base import Completion, Request, SamplerContext, SamplingParams
from palestra.rollout.samplers.vllm_install import installed_vllm
from palestra.tiny.paths import base_dir

if installed_vllm() is None:
    collect_ignore_glob = ["test_*.py"]

NOTES: list[str] = []


@pytest.fixture(scope="session")
def model() -> Any:
    """The embedded model in float32, as the trainer holds it."""
    return load_tiny()


def load_tiny() -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(base_dir(), dtype=torch.float32).eval()


def context(model: Any, **more: Any) -> SamplerContext:
    return SamplerContext(
        model=model, source=str(base_dir()), session="test", note=NOTES.append, **more
    )


def make_requests(count: int, max_tokens: int = 24, temperature: float = 1.0) -> list[Request]:
    params = SamplingParams(temperature=temperature, max_tokens=max_tokens)
    return [
        Request(token_ids=(40 + i % 7, 50, 60), seed=i, params=params, stop_token_ids=(1, 3))
        for i in range(count)
    ]


def largest_gap(
    model: Any, requests: list[Request], done: list[Completion], temperature: float = 1.0
) -> float:
    """The largest difference of a completion's log-probs to those of `model`."""
    import torch

    worst = 0.0
    for c in done:
        prompt = requests[c.index].token_ids
        ids = torch.tensor([[*prompt, *c.token_ids]])
        with torch.inference_mode():
            every = (model(ids).logits[0] / temperature).log_softmax(-1)
        own = every[:-1].gather(-1, ids[0, 1:, None])[len(prompt) - 1 :, 0]
        worst = max(worst, float((own - torch.tensor(c.logprobs)).abs().max()))
    return worst


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Server:
    """A real ``palestra serve-sampler tiny``, in a process group of its own."""

    def __init__(self, port: int, log: Path) -> None:
        self.port, self.log = port, log
        self.process = self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "palestra.cli.main", "serve-sampler", "tiny"]
        command += ["--port", str(self.port), "--threads", "1", "--enforce-eager"]
        with self.log.open("ab") as stream:
            return subprocess.Popen(
                command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait(self, seconds: float = 400) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.3)
        raise AssertionError(f"no server in {seconds} s: {self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def start_again(self) -> None:
        self.process = self._start()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two replicas of the embedded model."""
    folder = tmp_path_factory.mktemp("servers")
    made = [Server(free_port(), folder / f"server-{i}.log") for i in range(2)]
    try:
        for server in made:
            server.wait()
        yield made
    finally:
        for server in made:
            server.kill()
