"""The embedded sampler against plain forward passes, HF's generate, and the distribution itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from palestra.rollout.samplers import transformers as module
from palestra.rollout.samplers.base import Completion, Request, SamplingParams
from palestra.rollout.samplers.transformers import TransformersSampler, draw, new_cache

VOCAB = 64
SIZES = dict(
    vocab_size=VOCAB,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    initializer_range=0.3,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
)
STOP = (2, 3)


def tiny_llama(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**SIZES)).eval()


LLAMA = tiny_llama()
PROMPTS = [(5, 6, 7), (9,), (9, 8, 7, 6, 5, 4, 10, 11, 12), (30, 31), (5, 6, 7, 8)]


def request(
    prompt: tuple[int, ...], seed: int, stop: tuple[int, ...] = STOP, **params: Any
) -> Request:
    params = {"max_tokens": 24, **params}
    return Request(
        token_ids=prompt, seed=seed, params=SamplingParams(**params), stop_token_ids=stop
    )


def group_requests(members: int = 6, **options: Any) -> list[Request]:
    return [
        request(p, 100 * i + m, **options) for i, p in enumerate(PROMPTS) for m in range(members)
    ]


def sample(
    model: PreTrainedModel, requests: list[Request], max_batch: int = 512
) -> list[Completion]:
    done = list(TransformersSampler(model, max_batch).generate(requests))
    assert sorted(c.index for c in done) == list(range(len(requests)))
    return sorted(done, key=lambda c: c.index)


def forward_logprobs(
    model: PreTrainedModel, prompt: tuple[int, ...], completion: tuple[int, ...], temperature: float
) -> np.ndarray:
    ids = torch.tensor([*prompt, *completion])
    with torch.no_grad():
        logits = model(input_ids=ids[None], use_cache=False).logits[0].double()
    every = (logits[:-1] / temperature).log_softmax(-1).gather(-1, ids[1:, None])[:, 0]
    return every[len(prompt) - 1 :].numpy()


def check_logprobs(model: PreTrainedModel, requests: list[Request], done: list[Completion]) -> None:
    for r, c in zip(requests, done, strict=True):
        want = forward_logprobs(model, r.token_ids, c.token_ids, r.params.temperature or 1.0)
        np.testing.assert_allclose(c.logprobs, want, atol=1e-5, rtol=1e-5)
        assert c.logprobs.dtype == np.float32


@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.7, 0.0])
def test_logprobs_are_those_of_a_full_forward_pass(temperature: float):
    requests = group_requests(temperature=temperature)
    done = sample(LLAMA, requests)
    check_logprobs(LLAMA, requests, done)
    assert len({len(c.token_ids) for c in done}) > 1  # rows ended at different times


def test_greedy_is_what_generate_says():
    for prompt in PROMPTS:
        (ours,) = sample(LLAMA, [request(prompt, 0, temperature=0.0, stop=(2,))])
        theirs = LLAMA.generate(
            torch.tensor([prompt]),
            do_sample=False,
            max_new_tokens=24,
            eos_token_id=2,
            pad_token_id=0,
        )[0, len(prompt) :].tolist()
        assert list(ours.token_ids) == theirs


def test_greedy_ignores_the_seed():
    done = sample(LLAMA, [request(PROMPTS[0], seed, temperature=0.0) for seed in range(5)])
    assert len({c.token_ids for c in done}) == 1


@pytest.mark.parametrize("max_batch", [1, 7, 512])
def test_a_seed_draws_the_same_tokens_whatever_the_batch_and_the_order(max_batch: int):
    requests = group_requests()
    want = sample(LLAMA, requests)
    order = np.random.default_rng(0).permutation(len(requests)).tolist()
    shuffled = sample(LLAMA, [requests[i] for i in order], max_batch)
    alone = [sample(LLAMA, [r])[0] for r in requests[::5]]
    for got, expected in [
        *((shuffled[place], want[i]) for place, i in enumerate(order)),
        *zip(alone, want[::5], strict=True),
    ]:
        assert got.token_ids == expected.token_ids
        assert got.stop_reason == expected.stop_reason
        np.testing.assert_allclose(got.logprobs, expected.logprobs, atol=1e-5)


def test_seeds_decide_and_differ():
    seeds = [1, 1, 2, 3, 4]
    done = sample(LLAMA, [request(PROMPTS[0], s) for s in seeds])
    assert done[0].token_ids == done[1].token_ids
    assert len({c.token_ids for c in done}) == 4


def test_a_longer_limit_only_adds_tokens():
    short = sample(LLAMA, group_requests(max_tokens=5))
    long = sample(LLAMA, group_requests(max_tokens=30))
    for few, many in zip(short, long, strict=True):
        assert many.token_ids[: len(few.token_ids)] == few.token_ids


def test_a_completion_ends_with_its_stop_token_or_at_the_limit():
    done = sample(LLAMA, group_requests(members=20))
    for c in done:
        assert not set(c.token_ids[:-1]) & set(STOP)
        assert len(c.logprobs) == len(c.token_ids) <= 24
        assert c.stop_reason == ("stop" if c.token_ids[-1] in STOP else "length")
        assert c.stop_reason == "stop" or len(c.token_ids) == 24
    assert {c.stop_reason for c in done} == {"stop", "length"}


def test_one_token_is_the_shortest_limit():
    done = sample(LLAMA, group_requests(max_tokens=1))
    assert all(len(c.token_ids) == 1 for c in done)


def test_a_prompt_is_run_once_for_all_its_requests(monkeypatch: pytest.MonkeyPatch):
    shapes: list[tuple[int, ...]] = []
    whole = TransformersSampler._forward
    monkeypatch.setattr(
        TransformersSampler,
        "_forward",
        lambda self, ids, mask, cache: (
            shapes.append(tuple(ids.shape)) or whole(self, ids, mask, cache)
        ),
    )
    sample(LLAMA, group_requests(members=8))
    assert shapes[0] == (len(PROMPTS), max(map(len, PROMPTS)))
    assert shapes[1] == (8 * len(PROMPTS), 1)
    assert shapes[-1][0] < shapes[1][0]  # ended rows have left the batch


def chi_square(counts: np.ndarray, expected: np.ndarray) -> tuple[float, int]:
    """Return the statistic and its degrees of freedom, rare outcomes pooled."""
    order = np.argsort(expected)
    pooled_counts, pooled_expected, held_c, held_e = [], [], 0.0, 0.0
    for i in order:
        held_c, held_e = held_c + counts[i], held_e + expected[i]
        if held_e >= 8:
            pooled_counts.append(held_c)
            pooled_expected.append(held_e)
            held_c = held_e = 0.0
    pooled_counts[-1] += held_c
    pooled_expected[-1] += held_e
    c, e = np.array(pooled_counts), np.array(pooled_expected)
    return float(((c - e) ** 2 / e).sum()), len(c) - 1


def critical(freedom: int, z: float = 3.09) -> float:
    """The 99.9th percentile of chi-square, by Wilson and Hilferty."""
    return freedom * (1 - 2 / (9 * freedom) + z * math.sqrt(2 / (9 * freedom))) ** 3


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_first_tokens_are_drawn_as_the_softmax_says(temperature: float):
    prompt, count = PROMPTS[2], 6000
    requests = [
        request(prompt, seed, temperature=temperature, max_tokens=1) for seed in range(count)
    ]
    done = sample(LLAMA, requests, max_batch=2000)
    counts = np.bincount([c.token_ids[0] for c in done], minlength=VOCAB)
    with torch.no_grad():
        logits = LLAMA(input_ids=torch.tensor([prompt])).logits[0, -1].double()
    expected = (logits / temperature).softmax(-1).numpy() * count
    statistic, freedom = chi_square(counts, expected)
    assert freedom >= 5
    assert statistic < critical(freedom)


def test_later_tokens_are_independent_of_the_first_draws_noise():
    """The noise of a position is its own: second tokens follow their conditional softmax."""
    prompt, count = PROMPTS[1], 8000
    requests = [request(prompt, seed, max_tokens=2, stop=()) for seed in range(count)]
    done = sample(LLAMA, requests, max_batch=4000)
    first = np.bincount([c.token_ids[0] for c in done]).argmax()
    second = [c.token_ids[1] for c in done if c.token_ids[0] == first]
    assert len(second) > 300
    with torch.no_grad():
        logits = LLAMA(input_ids=torch.tensor([[*prompt, int(first)]])).logits[0, -1].double()
    expected = logits.softmax(-1).numpy() * len(second)
    statistic, freedom = chi_square(np.bincount(second, minlength=VOCAB), expected)
    assert statistic < critical(freedom)


# --- truncation ------------------------------------------------------------------------------


def allowed(logits: torch.Tensor, params: SamplingParams) -> set[int]:
    grid = torch.linspace(0, 1 - 1e-9, 4001, dtype=torch.float64)
    tokens, _ = draw(logits.expand(len(grid), -1), grid, params)
    return set(tokens.tolist())


@pytest.mark.parametrize("top_k", [1, 3, 10, 1000])
def test_top_k_draws_from_the_k_likeliest(top_k: int):
    logits = torch.randn(1, 50, generator=torch.Generator().manual_seed(0))
    want = set(logits[0].topk(min(top_k, 50)).indices.tolist())
    assert allowed(logits, SamplingParams(top_k=top_k)) <= want
    if top_k <= 10:
        assert allowed(logits, SamplingParams(top_k=top_k)) == want


@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.7, 0.95])
def test_top_p_draws_from_the_smallest_nucleus(top_p: float):
    logits = torch.randn(1, 20, generator=torch.Generator().manual_seed(1)) * 1.5
    probabilities = logits[0].softmax(-1)
    want: set[int] = set()
    mass = 0.0
    for token in probabilities.argsort(descending=True).tolist():
        want.add(token)
        mass += float(probabilities[token])
        if mass >= top_p:
            break
    assert allowed(logits, SamplingParams(top_p=top_p)) == want


def test_truncation_keeps_the_proportions_and_the_full_logprobs():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    noise = torch.arange(0, 1, 1e-4, dtype=torch.float64)
    tokens, logprobs = draw(logits.expand(len(noise), -1), noise, SamplingParams(top_k=2))
    two = logits[0, :2].softmax(-1)
    assert float((tokens == 0).double().mean()) == pytest.approx(float(two[0]), abs=2e-4)
    full = logits[0].log_softmax(-1)
    torch.testing.assert_close(logprobs, full[tokens])


def test_a_token_of_no_probability_is_never_drawn():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    noise = torch.tensor([0.0, 0.25, 0.5, 0.75, 1 - 2**-53], dtype=torch.float64)
    tokens, logprobs = draw(logits.expand(5, -1), noise, SamplingParams())
    assert tokens.tolist() == [1, 1, 3, 3, 3]
    torch.testing.assert_close(logprobs, torch.full((5,), -math.log(2)))


@pytest.mark.parametrize("params", [SamplingParams(), SamplingParams(top_k=7, temperature=0.5)])
@pytest.mark.parametrize("size", [4096, 4097, 50_257])
def test_a_large_vocabulary_is_drawn_from_as_numpy_does(size: int, params: SamplingParams):
    """The reference sums in doubles, over all tokens at once."""
    generator = torch.Generator().manual_seed(size)
    logits = 4 * torch.randn(1, size, generator=generator)
    noise = torch.rand(2_000, dtype=torch.float64, generator=generator)
    noise[0], noise[1] = 0.0, 1 - 2**-53
    tokens, _ = draw(logits.expand(len(noise), -1), noise, params)
    chances = (logits[0].double() / params.temperature).softmax(0)
    if params.top_k:
        chances[chances < chances.topk(params.top_k).values[-1]] = 0
    sums = np.cumsum((chances / chances.sum()).numpy())
    want = np.searchsorted(sums, noise.numpy()[2:], side="right")
    assert (tokens.numpy()[2:] == want).mean() > 0.998  # one in a million falls on another edge
    assert (chances[tokens] > 0).all()
    likely = chances.nonzero().squeeze(1)
    assert tokens[0] == likely[0]
    assert sums[int(tokens[1])] > 1 - 1e-6


@pytest.mark.parametrize("size", [64, 5_000])
def test_logits_that_are_no_numbers_are_left_to_the_learner(size: int):
    logits, noise = torch.full((3, size), torch.nan), torch.zeros(3, dtype=torch.float64)
    tokens, logprobs = draw(logits, noise, SamplingParams())
    assert (tokens < size).all()
    assert logprobs.isnan().all()


def test_top_p_sampling_ends_in_sound_completions():
    requests = group_requests(top_p=0.9, top_k=20, temperature=0.6)
    check_logprobs(LLAMA, requests, sample(LLAMA, requests))


# --- caches ----------------------------------------------------------------------------------


def test_the_slab_cache_is_dynamic_cache_to_the_bit(monkeypatch: pytest.MonkeyPatch):
    """Long enough that slabs grow, with rows leaving on the way."""
    requests = [request(p, i, max_tokens=150, stop=(2,)) for i, p in enumerate(PROMPTS * 4)]
    with_slabs = sample(LLAMA, requests)
    assert max(len(c.token_ids) for c in with_slabs) > module._GROWTH
    monkeypatch.setattr(
        module, "new_cache", lambda model, capacity: DynamicCache(config=model.config)
    )
    without = sample(LLAMA, requests)
    for left, right in zip(with_slabs, without, strict=True):
        assert left.token_ids == right.token_ids
        np.testing.assert_array_equal(left.logprobs, right.logprobs)


def other_model(family: str, **options: Any) -> PreTrainedModel:
    torch.manual_seed(3)
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **options})
    return transformers.AutoModelForCausalLM.from_config(config).eval()


OTHERS = {
    "mistral slides": ("Mistral", {"sliding_window": 6}),
    "qwen2 slides in some layers": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    ),
    "gemma2 slides in every other layer": (
        "Gemma2",
        {"sliding_window": 6, "head_dim": 16, "final_logit_softcapping": 5.0},
    ),
    "qwen3 attends fully": ("Qwen3", {"head_dim": 16}),
    "gpt2 learns its positions": ("GPT2", {}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_families_match_their_forward_pass(name: str):
    family, options = OTHERS[name]
    model = other_model(family, **options)
    slides = "slides" in name
    kinds = {type(layer).__name__ for layer in new_cache(model, 32).layers}
    assert ("_Slab" not in kinds) == slides
    requests = group_requests(members=4, stop=(2,))
    check_logprobs(model, requests, sample(model, requests))
    if slides:  # the window was left behind
        assert max(len(r.token_ids) for r in requests) > 6


# --- manners ---------------------------------------------------------------------------------


def test_it_samples_from_the_weights_as_they_are_now():
    model = tiny_llama()
    requests = group_requests(members=2)
    sampler = TransformersSampler(model)
    before = [c.token_ids for c in sampler.generate(requests)]
    model.load_state_dict(tiny_llama(1).state_dict())
    sampler.update_weights(iter([]), version=3)
    after = {c.index: c for c in sampler.generate(requests)}
    assert sampler.version == 3
    assert [after[i].token_ids for i in sorted(after)] != before
    check_logprobs(tiny_llama(1), requests, [after[i] for i in range(len(requests))])


@pytest.mark.parametrize("training", [True, False])
def test_it_samples_without_dropout_and_leaves_the_mode_as_it_was(training: bool):
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES, attention_dropout=0.5))
    model.train(training)
    requests = group_requests(members=2)
    done = sample(model, requests)
    assert model.training is training
    check_logprobs(model.eval(), requests, done)


def test_closing_the_iterator_early_leaves_the_model_as_it_was():
    model = tiny_llama().train()
    stream = TransformersSampler(model, max_batch=2).generate(group_requests())
    next(stream)
    stream.close()
    assert model.training


def test_it_needs_no_gradient_and_leaves_none():
    model = tiny_llama()
    sample(model, group_requests(members=1))
    assert all(p.grad is None for p in model.parameters())
    # Weights that were sampled from can still be trained.
    model(input_ids=torch.tensor([[1, 2, 3]]), labels=torch.tensor([[1, 2, 3]])).loss.backward()


def test_it_draws_nothing_from_the_global_generators():
    torch.manual_seed(7)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    sample(LLAMA, group_requests(members=2))
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])


def test_requests_that_differ_in_sampling_are_refused():
    with pytest.raises(ValueError, match="sampling parameters"):
        sample(LLAMA, [request((5,), 0), request((5,), 1, temperature=0.5)])


def test_no_request_is_no_work():
    assert sample(LLAMA, []) == []
