"""vLLM in the trainer's process: its log-probs, its weights, and what its iterators promise."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from palestra.errors import ConfigError, TrainingError
from palestra.learner.mismatch import likely_cause
from palestra.learner.packing import pack_examples
from palestra.rollout.samplers.base import Request, SamplingParams
from palestra.rollout.samplers.vllm import VLLMSampler
from palestra.tiny.paths import base_dir
from tests.vllm.conftest import context, largest_gap, load_tiny, make_requests


@pytest.fixture(scope="module")
def sampler(model: Any) -> Iterator[VLLMSampler]:
    made = VLLMSampler(context(model))
    yield made
    made.close()


@pytest.fixture
def fresh(sampler: VLLMSampler, model: Any) -> VLLMSampler:
    """The sampler with the embedded model's own weights."""
    sampler.update_weights(iter(model.state_dict().items()), version=0)
    return sampler


def moved(model: Any, by: float = 0.05) -> Any:
    """The model after some training: every weight a little elsewhere."""
    trained = copy.deepcopy(model)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter += by * parameter.std() * torch.randn_like(parameter)
    return trained


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_are_the_trainers(fresh: VLLMSampler, model: Any, temperature: float) -> None:
    requests = make_requests(16, temperature=temperature)
    done = list(fresh.generate(requests))
    assert sorted(c.index for c in done) == list(range(16))
    assert largest_gap(model, requests, done, temperature) < 2e-4
    for c in done:
        ended = c.token_ids[-1] in (1, 3)
        assert c.stop_reason == ("stop" if ended else "length")
        assert len(c.logprobs) == len(c.token_ids) <= 24
        assert ended or len(c.token_ids) == 24
        assert not {1, 3} & set(c.token_ids[:-1])


def test_a_seed_draws_the_same_tokens_whatever_the_batch(fresh: VLLMSampler) -> None:
    requests = make_requests(12)
    together = {c.index: c.token_ids for c in fresh.generate(requests)}
    alone = {i: next(iter(fresh.generate([r]))).token_ids for i, r in enumerate(requests)}
    assert together == alone


def test_greedy_is_the_best_token(fresh: VLLMSampler, model: Any) -> None:
    (done,) = fresh.generate(make_requests(1, max_tokens=6, temperature=0.0))
    ids = [40, 50, 60]
    for token in done.token_ids:
        with torch.inference_mode():
            assert int(model(torch.tensor([ids])).logits[0, -1].argmax()) == token
        ids.append(token)


def test_new_weights_are_sampled_from_and_no_prefix_of_the_old_ones(
    fresh: VLLMSampler, model: Any
) -> None:
    requests = make_requests(8)
    list(fresh.generate(requests))  # fills the prefix cache
    trained = moved(model)
    fresh.update_weights(iter(trained.state_dict().items()), version=1)
    done = list(fresh.generate(requests))
    assert largest_gap(trained, requests, done) < 2e-4
    assert largest_gap(model, requests, done) > 0.01


def test_a_stale_lm_head_is_caught_and_named(sampler: VLLMSampler, model: Any) -> None:
    sampler.update_weights(iter(model.state_dict().items()), version=0)
    trained = moved(model)

    def without_head() -> Any:
        return ((n, t) for n, t in trained.state_dict().items() if n != "lm_head.weight")

    cause = likely_cause(
        trained,
        sampler,
        pack_examples([([40, 50, 60], [7]), ([41, 50, 60], [7])]),
        tensors=without_head,
        temperature=1.0,
        source=str(base_dir()),
        version=1,
    )
    assert "lm_head" in cause


def test_a_skipped_sync_is_caught_and_named(fresh: VLLMSampler, model: Any) -> None:
    trained = moved(model)
    requests = make_requests(8)
    assert largest_gap(trained, requests, list(fresh.generate(requests))) > 0.01
    cause = likely_cause(
        trained,
        fresh,
        pack_examples([([40, 50, 60], [7])]),
        tensors=lambda: iter(trained.state_dict().items()),
        temperature=1.0,
        source=str(base_dir()),
        version=1,
    )
    assert "a sync was skipped" in cause


def test_closing_an_iterator_aborts_the_rest(fresh: VLLMSampler) -> None:
    stream = fresh.generate(make_requests(32, max_tokens=200))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not fresh._call(fresh._engine.has_unfinished_requests)
    assert not fresh._call(fresh._engine.has_unfinished_requests)
    assert not fresh._asked
    assert len(list(fresh.generate(make_requests(4)))) == 4


def test_an_open_iterator_does_not_keep_others_waiting(fresh: VLLMSampler) -> None:
    slow = fresh.generate(make_requests(8, max_tokens=200))
    first = next(slow)
    quick = list(fresh.generate(make_requests(5, max_tokens=3)))
    assert sorted(c.index for c in quick) == list(range(5))
    assert sorted([first.index, *(c.index for c in slow)]) == list(range(8))


def test_turns_can_be_asked_from_any_thread_while_others_run(
    fresh: VLLMSampler, model: Any
) -> None:
    requests = make_requests(24)
    expected = {c.index: c.token_ids for c in fresh.generate(requests)}
    with ThreadPoolExecutor(6) as threads:
        futures = list(threads.map(fresh.submit, requests))
    assert {i: f.result(60).token_ids for i, f in enumerate(futures)} == expected


def test_a_turn_that_is_cancelled_is_aborted_and_the_others_go_on(fresh: VLLMSampler) -> None:
    futures = [fresh.submit(r) for r in make_requests(8, max_tokens=200)]
    assert all(f.cancel() for f in futures[::2])
    assert [f.result(60).index for f in futures[1::2]] == [0] * 4
    assert not fresh._call(fresh._engine.has_unfinished_requests)


def test_closing_cancels_what_is_asked(model: Any) -> None:
    second = VLLMSampler(context(load_tiny()), max_batch=4)
    futures = [second.submit(r) for r in make_requests(8, max_tokens=400)]
    second.close()
    assert all(f.cancelled() or f.done() for f in futures)
    assert any(f.cancelled() for f in futures)


def test_a_prompt_longer_than_the_context_is_one_line(fresh: VLLMSampler) -> None:
    params = SamplingParams(max_tokens=4)
    long = Request(token_ids=(5,) * 600, seed=0, params=params, stop_token_ids=())
    with pytest.raises(TrainingError, match="600 tokens does not fit the sampler's context of 512"):
        list(fresh.generate([long]))


def test_the_trainers_threads_and_noise_are_left_alone(fresh: VLLMSampler) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    second = VLLMSampler(context(load_tiny()), max_batch=4)
    try:
        assert torch.equal(torch.rand(3), expected)
        assert torch.get_num_threads() == 1
        torch.set_num_threads(2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
        second.close()
        second.close()  # twice is no mistake


def test_a_model_that_it_cannot_serve_is_one_line(model: Any) -> None:
    with pytest.raises(ConfigError, match="vLLM cannot serve the model") as caught:
        VLLMSampler(context(model), max_model_len=1 << 20)
    assert "\n" not in str(caught.value)
