"""``palestra serve-sampler``: what it starts, and what it says where it cannot."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from palestra.cli.main import run
from palestra.rollout.samplers import vllm_install
from palestra.tiny.paths import base_dir


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """What would have taken this process's place; a vLLM that fits is taken to be installed."""
    calls: list[tuple[list[str], dict[str, str]]] = []

    def take(program: str, arguments: list[str], environment: Mapping[str, str]) -> Any:
        calls.append((arguments, dict(environment)))

    monkeypatch.setattr(os, "execvpe", take)
    monkeypatch.setattr(vllm_install, "installed_vllm", lambda: ("vllm", "0.32.0"))
    monkeypatch.setattr(vllm_install, "requires", lambda name: [])
    return calls


def test_it_starts_vllm_as_a_run_wants_it(started: list[tuple[list[str], dict[str, str]]]):
    code = run(["serve-sampler", "tiny", "--port", "8011", "--threads", "1", "--precision", "bf16"])
    assert code == 0
    ((arguments, environment),) = started
    given = dict(pairwise(arguments))
    assert given["--model"] == str(base_dir())
    assert given["--port"] == "8011"
    assert given["--host"] == "127.0.0.1"
    assert given["--dtype"] == "bfloat16"
    assert given["--logprobs-mode"] == "processed_logprobs"
    assert given["--weight-transfer-config"] == '{"backend": "palestra"}'
    assert "--enable-scale-out" in arguments
    assert environment["VLLM_SERVER_DEV_MODE"] == "1"
    assert environment["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["./tyni"], "no model folder at './tyni'"),
        (["tiny", "--threads", "4096"], "--threads 4096: this machine has"),
        (["tiny", "--precision", "fp8"], "fp8"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    started: list[tuple[list[str], dict[str, str]]],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
):
    assert run(["serve-sampler", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not started


def test_without_vllm_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(vllm_install, "installed_vllm", lambda: None)
    assert run(["serve-sampler", "tiny"]) == 2
    assert "vLLM is not installed. Run: pip install 'vllm" in capsys.readouterr().err
