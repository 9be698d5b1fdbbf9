"""The sampler on servers against a peer that speaks vLLM's routes, well and badly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from tests.unit.rollout.peer import STOP, Peer

from palestra.errors import ConfigError, TrainingError
from palestra.rollout.samplers import vllm_server
from palestra.rollout.samplers.base import Completion, Request, SamplerContext, SamplingParams
from palestra.rollout.samplers.vllm_server import VLLMServerSampler

FAST = {"recovery_timeout_s": 4.0, "request_timeout_s": 0.5, "health_timeout_s": 0.5}
WEIGHTS = {"layer.weight": torch.ones(4, 4), "lm_head.weight": torch.zeros(2, 4)}


class Made:
    """Starts peers and samplers, and stops them when the test is over."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._ends: list[Callable[[], None]] = []

    def peer(self, fault: str = "", faults: float = float("inf"), port: int = 0) -> Peer:
        peer = Peer(port, fault, faults)
        self._ends.append(peer.stop)
        return peer

    def sampler(self, *urls: str, session: str = "run", **options: Any) -> VLLMServerSampler:
        context = SamplerContext(
            model=cast("Any", SimpleNamespace(state_dict=lambda: WEIGHTS)),
            source="nowhere",
            session=session,
            note=self.notes.append,
        )
        sampler = VLLMServerSampler(context, urls=list(urls), **{**FAST, **options})
        self._ends.append(sampler.close)
        return sampler

    def end(self) -> None:
        for end in reversed(self._ends):
            end()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    monkeypatch.setattr(vllm_server, "_CHECK_EVERY", 0.2)
    made = Made()
    yield made
    made.end()


def requests(count: int = 8) -> list[Request]:
    return [
        Request(
            token_ids=(10 + i, 20 + i),
            seed=i,
            params=SamplingParams(max_tokens=8),
            stop_token_ids=(STOP,),
        )
        for i in range(count)
    ]


def assert_all_right(done: list[Completion], count: int = 8) -> None:
    """Each request has exactly one completion, and its own."""
    assert sorted(c.index for c in done) == list(range(count))
    for c in done:
        assert c.token_ids == (11 + c.index, 21 + c.index, STOP)
        assert c.logprobs.tolist() == [-0.5] * 3
        assert c.stop_reason == "stop"


def test_requests_are_spread_over_the_servers_and_each_is_answered_once(made: Made):
    peers = [made.peer(), made.peer()]
    assert_all_right(list(made.sampler(*[p.url for p in peers]).generate(requests())))
    assert sorted(len(p.asked) for p in peers) == [4, 4]
    asked = {tuple(body["token_ids"]): body["sampling_params"] for p in peers for body in p.asked}
    assert asked[(13, 23)]["seed"] == 3
    assert asked[(13, 23)]["stop_token_ids"] == [STOP]
    assert asked[(13, 23)]["ignore_eos"] is True


def test_every_server_gets_the_weights_and_forgets_its_prefixes(made: Made):
    peers = [made.peer(), made.peer()]
    sampler = made.sampler(*[p.url for p in peers])
    for version in (3, 4):
        sampler.update_weights(iter(WEIGHTS.items()), version=version)
        deadline = time.monotonic() + 5
        while any(p.version != f"run-{version}" for p in peers) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [p.version for p in peers] == [f"run-{version}"] * 2
    assert all(p.resets == 2 and p.received > 0 for p in peers)


def test_the_same_version_sent_again_is_taken_again(made: Made):
    peer = made.peer()
    sampler = made.sampler(peer.url)
    seen: list[int] = []
    for _ in range(3):
        sampler.update_weights(iter(WEIGHTS.items()), version=1)
        seen.append(peer.received)
    assert 0 < seen[0] < seen[1] < seen[2]
    assert_all_right(list(sampler.generate(requests())))


@pytest.mark.parametrize("fault", ["500", "hang up", "stall", "fewer completions", "other tokens"])
def test_a_server_that_fails_once_costs_time_and_no_sample(made: Made, fault: str):
    bad, good = made.peer(fault, faults=2), made.peer()
    assert_all_right(list(made.sampler(bad.url, good.url).generate(requests())))
    assert any(bad.url in note for note in made.notes)


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("500", "answered 500: .*EngineCore encountered an issue"),
        ("not json", "answered no JSON: <html>gateway</html>"),
        ("fewer completions", "answered 0 completions instead of 1"),
        ("other prompt", "answered the completion of another prompt"),
        ("other tokens", "answered log-probs of other tokens"),
        ("too many tokens", "answered 60 tokens where 1 to 8 were asked for"),
        ("no logprobs", "without token_ids, logprobs or weight_versions"),
        ("nan", "answered log-probs that are none"),
        ("wrong end", "answered 'length' for its end where the last token says 'stop'"),
    ],
)
def test_wrong_answers_again_and_again_stop_the_run_in_one_line(made: Made, fault: str, line: str):
    sampler = made.sampler(made.peer(fault).url, recovery_timeout_s=30.0)
    with pytest.raises(TrainingError, match=line) as caught:
        list(sampler.generate(requests(1)))
    assert "\n" not in str(caught.value)
    assert "4 times one request went wrong" in str(caught.value)


def test_a_request_that_is_refused_is_not_asked_again(made: Made):
    peer = made.peer("400")
    with pytest.raises(TrainingError, match=r"refuses the request \(400\): .*temperature is bad"):
        list(made.sampler(peer.url).generate(requests(1)))
    assert len(peer.asked) == 1


def test_no_server_at_all_is_one_line_with_what_to_start(made: Made):
    peer = made.peer()
    url = peer.url
    peer.stop()
    made._ends.remove(peer.stop)
    with pytest.raises(TrainingError, match=r"not reachable.*palestra serve-sampler") as caught:
        list(made.sampler(url, recovery_timeout_s=1.0).generate(requests(1)))
    assert "\n" not in str(caught.value)


def test_a_server_that_never_answers_is_given_up(made: Made):
    sampler = made.sampler(made.peer("stall").url, recovery_timeout_s=1.0)
    sampler.update_weights(iter(WEIGHTS.items()), version=1)
    started = time.monotonic()
    with pytest.raises(TrainingError, match=r"did not answer in 0\.5 s"):
        list(sampler.generate(requests(1)))
    assert time.monotonic() - started < 20


def test_a_server_without_the_training_routes_is_a_line_that_names_the_command(made: Made):
    with pytest.raises(ConfigError, match="has no /pause: start it by `palestra serve-sampler`"):
        list(made.sampler(made.peer("no routes").url).generate(requests(1)))


def test_a_prompt_longer_than_the_servers_context_is_refused(made: Made):
    params = SamplingParams(max_tokens=8)
    long = Request(token_ids=(5,) * 64, seed=0, params=params, stop_token_ids=(STOP,))
    with pytest.raises(TrainingError, match="64 tokens does not fit the sampler's context of 64"):
        list(made.sampler(made.peer().url).generate([long]))


def test_a_server_that_restarted_gets_the_weights_before_its_answers_count(made: Made):
    peer = made.peer("restarted", faults=1)
    sampler = made.sampler(peer.url)
    sampler.update_weights(iter(WEIGHTS.items()), version=7)
    assert_all_right(list(sampler.generate(requests())))
    assert peer.version == "run-7"
    assert any("sampled with weights default" in note for note in made.notes)


def test_a_server_that_was_away_is_taken_back_with_the_current_weights(made: Made):
    gone, stays = made.peer(), made.peer()
    sampler = made.sampler(gone.url, stays.url)
    sampler.update_weights(iter(WEIGHTS.items()), version=1)
    port = gone.server.server_port
    gone.stop()
    made._ends.remove(gone.stop)
    assert_all_right(list(sampler.generate(requests())))
    sampler.update_weights(iter(WEIGHTS.items()), version=2)
    back = made.peer(port=port)
    deadline = time.monotonic() + 15
    while back.version != "run-2" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert back.version == "run-2"
    assert_all_right(list(sampler.generate(requests())))
    assert any("is back, with the current weights" in note for note in made.notes)


def test_an_update_that_a_killed_trainer_left_open_is_closed_first(made: Made):
    peer = made.peer()
    peer.open_update = True
    assert_all_right(list(made.sampler(peer.url).generate(requests())))


def test_a_server_in_a_container_gets_the_weights_over_http(made: Made):
    peer = made.peer("elsewhere")
    assert_all_right(list(made.sampler(peer.url).generate(requests())))
    assert peer.version == "run-0"
    assert peer.received > 0


def test_a_server_serves_one_run(made: Made):
    peer = made.peer()
    first = made.sampler(peer.url)
    first.update_weights(iter(WEIGHTS.items()), version=1)
    peer.version = "another-5"
    foreign = r"was given weights by another run \(another-5\)"
    with pytest.raises(TrainingError, match=foreign):
        list(first.generate(requests(1)))


def test_an_iterator_that_is_closed_leaves_nothing_running(made: Made):
    sampler = made.sampler(made.peer("stall", faults=7).url, request_timeout_s=30.0)
    stream = sampler.generate(requests())
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 5
    while any(r.active for r in sampler._replicas) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [r.active for r in sampler._replicas] == [0]


def test_two_conversations_share_the_servers(made: Made):
    sampler = made.sampler(made.peer().url)
    first, second = sampler.generate(requests()), sampler.generate(requests())
    done: list[Completion] = [next(first), next(second)]
    assert_all_right([done[0], *first])
    assert_all_right([done[1], *second])


def test_closing_leaves_no_thread_and_no_file(made: Made):
    sampler = made.sampler(made.peer().url)
    list(sampler.generate(requests(1)))
    spool = sampler._spool
    assert spool is not None
    assert spool.is_dir()
    sampler.close()
    assert not spool.exists()
    assert not any(thread.name == "vllm-servers" for thread in threading.enumerate())
