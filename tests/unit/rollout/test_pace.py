"""On a sampler that is continuous, nothing waits that need not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tests.unit.rollout.own_weights import OwnWeights
from tests.unit.rollout.test_collect import (
    STOP,
    TOKENIZER,
    Add,
    Guess,
    Here,
    half_right,
    request_text,
    right,
    run,
)

from palestra.envs import Task, TextEnv
from palestra.errors import GraderFailed, TrainingError
from palestra.mixture.config import SourceConfig
from palestra.mixture.draw import Mixture
from palestra.mixture.sources import Source
from palestra.rollout.collect import Collected, collect
from palestra.rollout.collection import Collection
from palestra.rollout.prompting import Prompter
from palestra.rollout.samplers.base import (
    Completion,
    Request,
    Sampler,
    SamplerContext,
    SamplingParams,
)
from palestra.rollout.samplers.transformers import TransformersSampler
from palestra.stages.clock import StepClock

PATIENCE = 10.0  # seconds; what would wait for ever fails then


class Beside(Sampler):
    """Says the texts of a script, each request in a thread of its own."""

    continuous = True

    def __init__(self, script: Callable[[str], str]) -> None:
        self.script = script
        self.asked: list[str] = []
        self.futures: list[Future[Completion]] = []
        self._threads = ThreadPoolExecutor(32)

    def submit(self, request: Request) -> Future[Completion]:
        self.asked.append(request_text(request))
        self.futures.append(self._threads.submit(self._answer, request))
        return self.futures[-1]

    def _answer(self, request: Request) -> Completion:
        ids = (*TOKENIZER.encode(self.script(request_text(request))), STOP)
        logprobs = -np.arange(1, len(ids) + 1, dtype=np.float32) / 8
        return Completion(index=0, token_ids=ids, logprobs=logprobs, stop_reason="stop")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def play(
    sampler: Sampler,
    *envs: type[TextEnv],
    prompts: int = 2,
    group_size: int = 4,
    how: dict[str, Any] | None = None,
    **source: Any,
) -> Collected:
    registry = Here(*envs)
    sources = [
        Source(_config(e, **source), registry, f"mixtures.m.sources.{i}")
        for i, e in enumerate(envs)
    ]
    params = SamplingParams(max_tokens=60)
    return collect(
        Mixture(sources, 0, "s"),
        sampler,
        Prompter(TOKENIZER, "chat", ""),
        Collection(
            params=params,
            group_size=group_size,
            noise=(0, "sample", "s"),
            version=5,
            **(how or {}),
        ),
        prompts=prompts,
    )


def _config(env: type[TextEnv], **more: Any) -> SourceConfig:
    rewards = {"solved": 1.0} if env is Guess else {"accuracy": 1.0}
    return SourceConfig(env=env.env_id, **{"rewards": rewards, **more})


def members(collected: Collected) -> list[tuple[object, ...]]:
    return [
        (m.token_ids.tolist(), m.loss_mask.tolist(), m.versions.tolist(), m.rewards, m.components)
        for g in collected.kept
        for m in g.members
    ]


def alike(prompt: str, index: int = 0) -> str:
    return str(111 * (1 + prompt.count("<|tool|>")))


def test_conversations_are_what_they_are_in_lock_step():
    lock_step, _ = run(Guess, alike, rewards={"solved": 1.0, "close": 0.5})
    free = play(Beside(alike), Guess, rewards={"solved": 1.0, "close": 0.5})
    assert members(free) == members(lock_step)


def test_a_real_model_says_the_same_at_its_own_pace_as_in_lock_step():
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        eos_token_id=STOP,
    )
    model: Any = LlamaForCausalLM(config).eval()
    sampler = OwnWeights(SamplerContext(model=model, source=""))
    try:
        free = play(sampler, Add)
    finally:
        sampler.close()
    together = play(TransformersSampler(model), Add)
    assert members(free) == members(together)
    for one, other in zip(free.kept, together.kept, strict=True):
        for a, b in zip(one.members, other.members, strict=True):
            np.testing.assert_allclose(a.sampler_logprobs, b.sampler_logprobs, atol=1e-5)


def test_a_conversation_goes_on_while_another_one_is_still_at_its_first_turn():
    last_turns = threading.Semaphore(0)
    first = threading.Lock()

    def script(prompt: str) -> str:
        turn = prompt.count("<|tool|>")
        if turn == 0 and first.acquire(blocking=False):  # one conversation's first turn
            for _ in range(7):  # is not over before all others are at their last
                assert last_turns.acquire(timeout=PATIENCE)
        if turn == 2:
            last_turns.release()
        return alike(prompt)

    collected = play(Beside(script), Guess, rewards={"solved": 1.0})
    assert {m.turns for g in collected.kept for m in g.members} == {3}


def test_a_slow_grader_keeps_no_request_from_being_sampled():
    sampled = threading.Semaphore(0)
    answered: list[int] = []

    class Slow(Add):
        env_id = "test/Slow-v1"

        def grade(self, task: Task, completion: str) -> float:
            if not answered:  # the first grading ends when all has been sampled
                for _ in range(8):
                    assert sampled.acquire(timeout=PATIENCE)
            answered.append(1)
            return 1.0

    def script(prompt: str) -> str:
        sampled.release()
        return right(prompt)

    collected = play(Beside(script), Slow)
    assert len(answered) == 8
    assert {m.reward for g in collected.kept for m in g.members} == {1.0}


def test_a_slow_grader_keeps_no_other_sources_conversations_waiting():
    last_turns = threading.Semaphore(0)

    class Slow(Add):
        env_id = "test/Slow-v1"

        def grade(self, task: Task, completion: str) -> float:
            if threading.current_thread() not in seen:
                seen.add(threading.current_thread())
                for _ in range(conversations):
                    assert last_turns.acquire(timeout=PATIENCE)
            return 1.0

    def script(prompt: str) -> str:
        if prompt.count("<|tool|>") == 2:
            last_turns.release()
        return alike(prompt) if "Riddle" in prompt else right(prompt)

    seen: set[threading.Thread] = set()
    sources = [c.source for c in Mixture(_two(Slow), 0, "s").draw(6)]
    conversations = 4 * sources.count(1)
    assert 0 < conversations < 24
    collected = play(Beside(script), Slow, Guess, prompts=6)
    assert len(seen) == 1  # an environment of this process runs in one thread
    assert len(collected.kept) == 6


def _two(slow: type[TextEnv]) -> list[Source]:
    registry = Here(slow, Guess)
    return [Source(_config(e), registry, "w") for e in (slow, Guess)]


def test_a_grader_that_fails_for_good_cancels_what_is_still_asked():
    class Broken(Add):
        env_id = "test/Broken-v1"

        def grade(self, task: Task, completion: str) -> float:
            raise ZeroDivisionError

    held = threading.Event()
    many = iter(range(100))

    def script(prompt: str) -> str:
        if next(many):  # all but the first
            held.wait(PATIENCE)
        return "1"

    sampler = Beside(script)
    try:
        with pytest.raises(GraderFailed, match="ZeroDivisionError"):
            play(sampler, Broken, prompts=12, on_grader_error="raise")
        assert sum(f.cancelled() for f in sampler.futures) == 48 - 33  # the others run, or have run
    finally:
        held.set()


def test_what_the_sampler_raises_is_raised():
    def script(prompt: str) -> str:
        raise TrainingError("no server")

    with pytest.raises(TrainingError, match="no server"):
        play(Beside(script), Add)


def test_generate_is_by_submit_and_closing_it_cancels_the_rest():
    held = threading.Event()

    def script(prompt: str) -> str:
        if prompt != "0":
            held.wait(PATIENCE)
        return f"said {prompt}"

    def request(text: str) -> Request:
        ids = tuple(TOKENIZER.encode(text))
        return Request(
            token_ids=ids, seed=0, params=SamplingParams(max_tokens=99), stop_token_ids=(STOP,)
        )

    sampler = Beside(script)
    requests = [request(str(i)) for i in range(40)]
    try:
        stream: Any = sampler.generate(requests)
        first = next(stream)
        assert (first.index, TOKENIZER.decode(first.token_ids)) == (0, "said 0<|end|>")
        stream.close()
        assert sum(f.cancelled() for f in sampler.futures) == 40 - 33
    finally:
        held.set()
    everyone = {c.index: TOKENIZER.decode(c.token_ids) for c in sampler.generate(requests)}
    assert everyone == {i: f"said {i}<|end|>" for i in range(40)}


def test_a_sampler_that_is_not_continuous_says_so():
    with pytest.raises(TypeError, match="TransformersSampler is not continuous"):
        TransformersSampler(None).submit(None)  # type: ignore[arg-type]


def test_waiting_is_charged_to_generating_while_the_sampler_works_and_else_to_grading():
    class Slow(Add):
        env_id = "test/Slow-v1"

        def grade(self, task: Task, completion: str) -> float:
            threading.Event().wait(0.05)
            return 1.0

    def script(prompt: str) -> str:
        threading.Event().wait(0.5)
        return half_right(prompt, 0)

    clock = StepClock()
    with clock("grade"):
        play(Beside(script), Slow, how={"phase": clock})
    took = clock.take()
    # A busy machine reaches the waiting late, and is charged for less than the sampler took.
    assert took["seconds/generate"] >= 0.25
    assert took["seconds/grade"] >= 0.3  # eight of them, one after another, less what overlapped
