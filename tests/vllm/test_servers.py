"""Real vLLM servers: weights over HTTP, two replicas, and one of them killed in the middle."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from palestra.rollout.samplers.base import SamplingParams
from palestra.rollout.samplers.vllm_server import VLLMServerSampler
from tests.vllm.conftest import NOTES, Server, context, largest_gap, make_requests
from tests.vllm.test_in_process import moved


@pytest.fixture
def sampler(servers: list[Server], model: Any) -> Iterator[VLLMServerSampler]:
    NOTES.clear()
    made = VLLMServerSampler(context(model), urls=[s.url for s in servers], recovery_timeout_s=120)
    yield made
    made.close()


def version_of(server: Server) -> str:
    with urllib.request.urlopen(server.url + "/weight_info", timeout=10) as answer:
        return str(json.load(answer)["weight_version"])


@pytest.mark.parametrize("near", [True, False], ids=["files", "http"])
def test_both_replicas_sample_with_the_weights_they_are_given(
    sampler: VLLMServerSampler, servers: list[Server], model: Any, near: bool
) -> None:
    for replica in sampler._replicas:
        replica._near = near  # False: as if it were on another machine
    requests = make_requests(32)
    assert largest_gap(model, requests, list(sampler.generate(requests))) < 2e-4
    trained = moved(model)
    sampler.update_weights(iter(trained.state_dict().items()), version=1)
    assert [version_of(s) for s in servers] == ["test-1", "test-1"]
    done = list(sampler.generate(requests))
    assert sorted(c.index for c in done) == list(range(32))
    assert largest_gap(trained, requests, done) < 2e-4
    assert NOTES == []


def test_a_replica_killed_in_the_middle_costs_no_sample_and_is_taken_back(
    sampler: VLLMServerSampler, servers: list[Server], model: Any
) -> None:
    trained = moved(model)
    sampler.update_weights(iter(trained.state_dict().items()), version=5)
    long = SamplingParams(max_tokens=300)
    requests = [
        r if i < 4 else replace(r, params=long, stop_token_ids=())
        for i, r in enumerate(make_requests(40, max_tokens=3))
    ]
    stream = sampler.generate(requests)
    done = [next(stream)]
    working = [r.active for r in sampler._replicas]
    assert all(working), working
    servers[0].kill()
    done += stream
    assert sorted(c.index for c in done) == list(range(40))
    assert largest_gap(trained, requests, done) < 2e-4
    assert any(f"goes on without {servers[0].url}" in note for note in NOTES)

    again = moved(trained)
    sampler.update_weights(iter(again.state_dict().items()), version=6)  # while it is away
    servers[0].start_again()
    servers[0].wait()
    deadline = time.monotonic() + 60
    while not all(r.ready for r in sampler._replicas) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert [version_of(s) for s in servers] == ["test-6", "test-6"]
    alone = VLLMServerSampler(context(again), urls=[servers[0].url], recovery_timeout_s=60)
    try:  # what the returned one samples, by itself
        alone.update_weights(iter(again.state_dict().items()), version=6)
        assert largest_gap(again, requests[:4], list(alone.generate(requests[:4]))) < 2e-4
    finally:
        alone.close()
