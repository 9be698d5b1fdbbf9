"""From draws to groups: tokens, masks, rewards, and what becomes of failures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from palestra.envs import MultiTurnEnv, Score, SingleTurnEnv, Status, Task, TextEnv, Turn
from palestra.errors import ConfigError, EnvironmentFailed, GraderFailed, TrainingError
from palestra.learner.packing import pack
from palestra.mixture.config import SourceConfig
from palestra.mixture.draw import Mixture
from palestra.mixture.sources import Source
from palestra.optimizers.grpo import GRPO, GRPOConfig
from palestra.plugins.kinds import Kind
from palestra.plugins.registry import Registered, Registry
from palestra.plugins.specs import EnvironmentSpec
from palestra.rewards.base import Scored
from palestra.rewards.format import FormatReward
from palestra.rollout.collect import collect
from palestra.rollout.collection import Collection
from palestra.rollout.prompting import Prompter
from palestra.rollout.samplers.base import Completion, Request, SamplingParams
from palestra.rollout.trajectory import Group

SPECIAL = ["<pad>", "<|end|>", "<|user|>", "<|assistant|>", "<|tool|>"]
CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{% if m.role == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
STOP = 1


def byte_tokenizer() -> PreTrainedTokenizerFast:
    vocab = {t: i for i, t in enumerate([*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<pad>", chat_template=CHAT
    )


TOKENIZER = byte_tokenizer()


class ScriptedSampler:
    """Returns the texts of a script, last request first; nothing real can be made to say them."""

    continuous = False

    def __init__(self, script: Callable[[str, int], str]) -> None:
        self.script = script
        self.calls: list[list[Request]] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        self.calls.append(list(requests))
        for index in reversed(range(len(requests))):
            request = requests[index]
            text = self.script(TOKENIZER.decode(request.token_ids), index)
            ids = (*TOKENIZER.encode(text, add_special_tokens=False), STOP)
            cut = len(ids) > request.params.max_tokens
            ids = ids[: request.params.max_tokens]
            yield Completion(
                index=index,
                token_ids=ids,
                logprobs=-np.arange(1, len(ids) + 1, dtype=np.float32) / 8,
                stop_reason="length" if cut else "stop",
            )

    def update_weights(self, tensors: Any, version: int) -> None: ...

    def close(self) -> None: ...


class Here(Registry):
    """A registry of classes that this file defines."""

    def __init__(self, *envs: type[TextEnv], **rewards: Any) -> None:
        super().__init__()
        self._envs, self._rewards = {e.env_id: e for e in envs}, rewards

    def names(self, kind: Kind) -> list[str]:
        return sorted(self._rewards) if kind is Kind.REWARD_MODEL else sorted(self._envs)

    def find(self, kind: Kind, name: str) -> Registered:
        spec = EnvironmentSpec(name=name, entry_point="", isolation="inline")
        return Registered(spec=spec, distribution="test", plugin="test")

    def load(self, kind: Kind, name: str) -> object:
        return self._rewards[name]

    def make_env(self, env_id: str, **kwargs: object) -> TextEnv:
        return self._envs[env_id](**kwargs)


class Add(SingleTurnEnv):
    env_id = "test/Add-v1"

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        a, b = (int(n) for n in rng.integers(1000, size=2))
        return Task(prompt=f"{a}+{b}=", reference=str(a + b), language="en")


class Guess(MultiTurnEnv):
    """Guess a number below 1000; half a point for the first digit, on the way."""

    env_id = "test/Guess-v1"
    max_turns = 3

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        return Task(prompt=f"Riddle {rng.integers(10**6)}.", reference=int(rng.integers(1000)))

    def begin(self, task: Task) -> str:
        return f"{task.prompt} Guess a number."

    def respond(self, task: Task, action: str) -> Turn:
        guess = int(action.rpartition(">")[2])
        if guess == task.reference:
            return Turn(score=Score(value=1.0, components={"solved": 1.0, "close": 0.0}), done=True)
        close = float(str(guess)[0] == str(task.reference)[0])
        return Turn(
            observation="higher" if guess < int(str(task.reference)) else "lower",
            score=Score(value=0.0, components={"solved": 0.0, "close": close}),
            role="tool",
        )


def run(
    env: type[TextEnv],
    script: Callable[[str, int], str],
    *,
    prompts: int = 2,
    group_size: int = 4,
    prefill: str = "",
    models: dict[str, Any] | None = None,
    keep: Callable[[Group], bool] = lambda group: True,
    max_refills: int = 0,
    min_group: int = 1,
    max_tokens: int = 60,
    style: str = "chat",
    seed: int = 0,
    **source: Any,
) -> tuple[Any, ScriptedSampler]:
    registry = Here(env, **(models or {}))
    config = SourceConfig(env=env.env_id, **source)
    sampler = ScriptedSampler(script)
    collected = collect(
        Mixture([Source(config, registry, "mixtures.m.sources.0")], seed, "s"),
        sampler,
        Prompter(TOKENIZER, style, prefill),
        Collection(
            params=SamplingParams(max_tokens=max_tokens),
            group_size=group_size,
            min_group=min_group,
            noise=(seed, "sample", "s"),
            version=5,
        ),
        prompts=prompts,
        keep=keep,
        max_refills=max_refills,
    )
    return collected, sampler


def right(prompt: str, index: int = 0) -> str:
    a, b = prompt.partition(">")[2].partition("=")[0].split("+")
    return f"<think>x</think><answer>{int(a) + int(b)}</answer>"


def half_right(prompt: str, index: int) -> str:
    return right(prompt) if index % 2 else "<think>x</think><answer>-1</answer>"


# --- single turns ----------------------------------------------------------------------------


def test_a_single_turn_is_kept_token_for_token():
    collected, sampler = run(Add, half_right)
    assert len(collected.kept) == 2
    assert [g.number for g in collected.kept] == [0, 1]
    for group, member, request in zip(
        [g for g in collected.kept for _ in range(4)],
        [m for g in collected.kept for m in g.members],
        sampler.calls[0],
        strict=True,
    ):
        start = len(request.token_ids)
        assert tuple(member.token_ids[:start]) == request.token_ids
        said = TOKENIZER.decode(member.token_ids[start:])
        assert said == member.text + "<|end|>"
        assert member.loss_mask.tolist() == [False] * start + [True] * (len(said.encode()) - 6)
        assert member.sampler_logprobs[start:].tolist() == [
            -(i + 1) / 8 for i in range(member.length)
        ]
        assert not member.sampler_logprobs[:start].any()
        assert set(member.versions[start:]) == {5}
        assert set(member.versions[:start]) == {-1}
        assert member.rewards == (
            (len(member.token_ids) - 1, float(member.text == right(request_text(request)))),
        )
        assert member.prompt_hash == group.members[0].prompt_hash
        assert (member.turns, member.stop_reason, member.status) == (1, "stop", Status.OK)
    assert len({g.members[0].prompt_hash for g in collected.kept}) == 2
    assert {m.reward for m in collected.kept[0].members} == {0.0, 1.0}


def request_text(request: Request) -> str:
    return TOKENIZER.decode(request.token_ids)


def test_members_share_their_prompt_and_no_noise():
    _, sampler = run(Add, right)
    requests = sampler.calls[0]
    assert len({r.token_ids for r in requests[:4]}) == 1
    assert len({r.seed for r in requests}) == len(requests)


def test_noise_and_tasks_depend_on_names_alone():
    first, second = run(Add, right)[1].calls, run(Add, right)[1].calls
    assert first == second
    other = run(Add, right, seed=1)[1].calls
    assert {r.seed for r in other[0]}.isdisjoint({r.seed for r in first[0]})


def test_a_prefill_is_in_the_prompt_and_in_what_is_graded():
    collected, sampler = run(
        Add,
        lambda p, i: right(p).removeprefix("<think>"),
        prefill="<think>",
        rewards={"accuracy": 1.0, "format": 0.5},
        models={"format": FormatReward},
    )
    assert request_text(sampler.calls[0][0]).endswith("<|assistant|><think>")
    for member in collected.kept[0].members:
        assert member.text.startswith("<think>x</think>")
        assert member.reward == 1.5
        assert member.components["format"] == 1.0
        assert not member.loss_mask[len(sampler.calls[0][0].token_ids) - 1]


def test_the_reward_is_the_weighted_sum_of_the_named_components_only():
    collected, _ = run(
        Add, right, rewards={"accuracy": 2.0, "format": 0.25}, models={"format": FormatReward}
    )
    member = collected.kept[0].members[0]
    assert member.reward == 2.25
    assert member.components == {"accuracy": 1.0, "lenient_accuracy": 1.0, "format": 1.0}


def test_a_reward_that_nobody_offers_suggests_the_nearest():
    with pytest.raises(
        ConfigError, match=r"sources\.0.*no reward 'acuracy'.*Did you mean 'accuracy'"
    ):
        run(Add, right, rewards={"acuracy": 1.0})


def test_a_reward_that_both_offer_must_be_told_apart():
    class Formats(Add):
        env_id = "test/Formats-v1"

        def grade(self, task: Task, completion: str) -> Score:
            return Score(value=0.0, components={"format": 0.5})

    offered = {"format": FormatReward}
    with pytest.raises(ConfigError, match=r"'env\.format' or 'model\.format'"):
        run(Formats, right, rewards={"format": 1.0}, models=offered)
    for name, value in (("env.format", 0.5), ("model.format", 1.0)):
        collected, _ = run(Formats, right, rewards={name: 1.0}, models=offered)
        assert collected.kept[0].members[0].reward == value


# --- conversations ---------------------------------------------------------------------------


def guesses(prompt: str, index: int) -> str:
    """Say the same wrong first guesses to all; the third is out of turns."""
    return f"<think>{prompt.count('<|tool|>')}</think>{(index + 1) * 111}"


def test_a_conversation_is_token_exact():
    collected, sampler = run(Guess, guesses, rewards={"solved": 1.0, "close": 0.5})
    assert len(sampler.calls) == 3
    for call, following in itertools.pairwise(sampler.calls):
        for request in following:
            earlier = [
                r.token_ids for r in call if request.token_ids[: len(r.token_ids)] == r.token_ids
            ]
            assert earlier  # previous ids are a prefix of the next request's
    for group in collected.kept:
        for member in group.members:
            text = TOKENIZER.decode(member.token_ids)
            assert text.startswith("<|user|>Riddle ")
            assert (
                "Guess a number.<|assistant|>" in text
            )  # what begin() says is what the policy sees
            assert "<|end|><|end|>" not in text
            assert text.count("<|tool|>") == 2
            own = [
                "".join(TOKENIZER.decode([int(t) for _, t in run]) for run in [list(chunk)])
                for is_own, chunk in itertools.groupby(
                    zip(member.loss_mask, member.token_ids, strict=True), key=lambda x: bool(x[0])
                )
                if is_own
            ]
            assert len(own) == member.turns == 3
            assert all(turn.startswith("<think>") and turn.endswith("<|end|>") for turn in own)
            assert text == "".join(
                ["<|user|>", member.messages[-1]["content"], "<|assistant|>", own[0]]
            ) + "".join(
                f"<|tool|>{hint(text, n)}<|assistant|>{said}" for n, said in enumerate(own[1:])
            )


def hint(text: str, number: int) -> str:
    return text.split("<|tool|>")[number + 1].partition("<|assistant|>")[0]


def test_each_turns_reward_is_on_its_last_policy_token():
    collected, _ = run(Guess, guesses, rewards={"solved": 1.0, "close": 0.5}, prompts=6)
    closes = 0
    for member in (m for g in collected.kept for m in g.members):
        ends = np.flatnonzero(member.loss_mask & ~np.append(member.loss_mask[1:], False))
        assert [t for t, _ in member.rewards] == ends.tolist()
        assert all(member.token_ids[t] == STOP for t in ends)
        assert member.reward == sum(v for _, v in member.rewards)
        closes += sum(v == 0.5 for _, v in member.rewards)
    assert closes >= 3
    batch = pack(collected.kept)
    assert batch.turn_T.max() == 2
    assert batch.rewards_T.sum() == pytest.approx(float(batch.scores_S.sum()))


def test_conversations_end_when_they_are_done_and_the_others_go_on():
    solved = {}

    def knows(prompt: str, index: int) -> str:
        return str(solved.setdefault(prompt, 0))

    # The answer comes from the environment itself, reset with the same seed.
    registry = Here(Guess)
    source = Source(SourceConfig(env=Guess.env_id, rewards={"solved": 1.0}), registry, "w")
    draws = Mixture([source], 0, "s").draw(2)
    for draw in draws[:1]:
        env = source.env()
        env.reset(seed=draw.env_seed, options=source.options)
        assert env.task is not None
        solved[f"<|user|>{env.task.prompt} Guess a number.<|assistant|>"] = env.task.reference
    collected, sampler = run(Guess, knows, rewards={"solved": 1.0})
    assert [len(c) for c in sampler.calls] == [8, 4, 4]
    assert {m.turns for m in collected.kept[0].members} == {1}
    assert {m.reward for m in collected.kept[0].members} == {1.0}
    assert {m.turns for m in collected.kept[1].members} == {3}
    assert {m.reward for m in collected.kept[1].members} == {0.0}


def test_a_turn_without_a_score_pays_nothing_and_breaks_nothing():
    class Quiet(Guess):
        env_id = "test/Quiet-v1"

        def respond(self, task: Task, action: str) -> Turn:
            return Turn(observation="go on")  # never done: truncated without any score

    collected, _ = run(Quiet, lambda p, i: "1", rewards={"solved": 1.0})
    assert {m.reward for m in collected.kept[0].members} == {0.0}
    assert all(m.is_valid for m in collected.kept[0].members)


def test_a_component_of_an_earlier_turn_need_not_come_again():
    class Once(Guess):
        env_id = "test/Once-v1"

        def respond(self, task: Task, action: str) -> Turn:
            first = self._turns_taken == 1
            return Turn(
                observation="go on",
                score=Score(value=1.0, components={"opening": 1.0} if first else {"rest": 0.0}),
                done=not first,
            )

    collected, _ = run(Once, lambda p, i: "1", rewards={"opening": 0.5, "rest": 1.0})
    assert {m.reward for m in collected.kept[0].members} == {0.5}


def test_a_turn_cut_by_length_is_closed_before_the_answer():
    collected, sampler = run(Guess, lambda p, i: "123456", max_tokens=3, rewards={"solved": 1.0})
    text = request_text(sampler.calls[1][0])
    assert "<|assistant|>123<|end|><|tool|>" in text
    assert {m.stop_reason for m in collected.kept[0].members} == {"length"}
    assert all(
        m.length == 9 for m in collected.kept[0].members
    )  # the end token is not the policy's


# --- groups ----------------------------------------------------------------------------------


def test_an_environment_that_ignores_its_seed_is_found_out():
    class Careless(Add):
        env_id = "test/Careless-v1"
        drawn = itertools.count()

        def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
            return Task(prompt=f"task {next(self.drawn)}", reference="1")

    with pytest.raises(EnvironmentFailed, match=r"Careless.*different prompts for one seed"):
        run(Careless, lambda p, i: "x")


def test_refused_groups_are_replaced_until_the_batch_is_full():
    seen: list[int] = []

    def keep(group: Group) -> bool:
        seen.append(group.number)
        return group.number % 3 != 0

    collected, sampler = run(Add, right, prompts=4, keep=keep, max_refills=4)
    assert [g.number for g in collected.kept] == [1, 2, 4, 5]
    assert [g.number for g in collected.dropped] == [0, 3]
    assert [len(c) // 4 for c in sampler.calls] == [4, 2]
    assert seen == [0, 1, 2, 3, 4, 5]


def test_refills_have_an_end_and_a_partial_batch_is_kept():
    collected, sampler = run(Add, right, prompts=3, keep=lambda g: g.number == 1, max_refills=2)
    assert [g.number for g in collected.kept] == [1]
    assert len(sampler.calls) == 3


def test_no_group_at_all_stops_the_run_and_says_why():
    with pytest.raises(TrainingError, match="optimizer kept none"):
        run(Add, right, keep=lambda g: False)


# --- failing graders -------------------------------------------------------------------------


class Fragile(Add):
    """Its grader breaks on some completions."""

    env_id = "test/Fragile-v1"

    def grade(self, task: Task, completion: str) -> Score | float:
        if "boom" in completion:
            raise ZeroDivisionError("the grader broke")
        if "slow" in completion:
            raise TimeoutError("too slow")
        if "nan" in completion:
            return float("nan")
        return super().grade(task, completion)


def one_bad(word: str) -> Callable[[str, int], str]:
    return lambda prompt, index: word if index % 4 == 0 else half_right(prompt, index)


@pytest.mark.parametrize(
    ("word", "status", "reason"),
    [
        ("boom", Status.ERROR, "ZeroDivisionError: the grader broke"),
        ("slow", Status.TIMEOUT, "too slow"),
        ("nan", Status.ERROR, "finite"),
    ],
)
def test_a_failed_grading_is_no_wrong_answer(word: str, status: Status, reason: str):
    collected, _ = run(Fragile, one_bad(word))
    optimizer = GRPO(GRPOConfig(std="population", eps=0.0))
    for group in collected.kept:
        bad, *good = group.members
        assert (bad.status, bad.is_valid) == (status, False)
        assert reason in bad.reason
        assert "Fragile" in bad.reason
        assert bad.task_id in bad.reason
        assert group.valid == tuple(good)
        assert "accuracy" not in bad.components
    # Rewards of the three are 1, 0, 1: a fourth, counted as 0, would give other advantages.
    batch = pack(collected.kept)
    assert len(batch) == 6
    first = optimizer.advantages(batch)["advantages"][batch.sequence_T == 0][0]
    assert float(first) == pytest.approx((1 - 2 / 3) / np.std([1, 0, 1]), rel=1e-5)


def test_a_failed_grading_is_masked_whatever_its_components_are_called():
    class Named(Fragile):
        env_id = "test/Named-v1"

        def grade(self, task: Task, completion: str) -> Score:
            score = super().grade(task, completion)
            assert isinstance(score, Score)
            return Score(value=score.value, components={"solved": score.value})

    collected, _ = run(Named, one_bad("boom"), rewards={"solved": 1.0})
    assert [len(g.valid) for g in collected.kept] == [3, 3]


def test_on_grader_error_raise_names_source_and_cause():
    with pytest.raises(GraderFailed, match=r"sources\.0.*Fragile.*the grader broke"):
        run(Fragile, one_bad("boom"), on_grader_error="raise")


class Flaky(Add):
    """Fails at the first try of each completion."""

    env_id = "test/Flaky-v1"
    tries: dict[str, int] = {}

    def grade(self, task: Task, completion: str) -> Score | float:
        key = task.id + completion
        self.tries[key] = self.tries.get(key, 0) + 1
        if self.tries[key] == 1:
            raise OSError("try again")
        return super().grade(task, completion)


def test_on_grader_error_retry_grades_again():
    Flaky.tries.clear()
    collected, _ = run(Flaky, lambda p, i: right(p) + str(i), on_grader_error="retry")
    assert all(m.is_valid for g in collected.kept for m in g.members)
    assert collected.kept[0].members[0].reward == 1.0
    assert set(Flaky.tries.values()) == {2}


def test_on_grader_error_retry_gives_up_and_masks():
    collected, _ = run(Fragile, one_bad("boom"), on_grader_error="retry")
    assert [len(g.valid) for g in collected.kept] == [3, 3]


class Judge:
    """A reward model that breaks on some batches."""

    def __init__(self, fails: int) -> None:
        self.fails = fails

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        if self.fails:
            self.fails -= 1
            raise ConnectionError("no judge")
        return [Score(value=0.5) for _ in batch]


def test_a_reward_model_that_fails_once_is_asked_again():
    collected, _ = run(
        Add,
        right,
        rewards={"accuracy": 1.0, "judge": 1.0},
        models={"judge": lambda: Judge(1)},
        on_grader_error="retry",
    )
    assert {m.reward for g in collected.kept for m in g.members} == {1.5}


def test_a_reward_model_is_told_of_group_tokens_cut_answer_and_reference():
    seen: list[Scored] = []

    class Notes:
        def score(self, batch: Sequence[Scored]) -> list[Score]:
            seen.extend(batch)
            return [Score(value=0.0) for _ in batch]

    long = lambda prompt, index: right(prompt) if index % 4 else "x" * 100  # noqa: E731
    collected, _ = run(Add, long, rewards={"notes": 1.0}, models={"notes": Notes}, max_tokens=40)
    members = [m for g in collected.kept for m in g.members]
    assert [s.group for s in seen] == [g.number for g in collected.kept for _ in g.members]
    assert [s.tokens for s in seen] == [m.length for m in members]
    assert [s.truncated for s in seen] == [i % 4 == 0 for i in range(len(members))]
    assert [s.extracted for s in seen] == [m.extracted for m in members]
    assert [s.reference for s in seen] == [g.reference for g in collected.kept for _ in g.members]


def test_a_failed_score_is_tried_again_with_its_whole_group_and_no_other():
    batches: list[list[Any]] = []

    class Moody:
        def score(self, batch: Sequence[Scored]) -> list[Score]:
            batches.append([item.group for item in batch])
            first = len(batches) == 1
            scores = [Score(value=float(len(batches))) for _ in batch]
            return [Score.failed("moody"), *scores[1:]] if first else scores

    collected, _ = run(
        Add,
        right,
        rewards={"moody": 1.0},
        models={"moody": Moody},
        on_grader_error="retry",
    )
    assert batches == [[0] * 4 + [1] * 4, [0] * 4]
    assert [m.reward for m in collected.kept[0].members] == [2.0, 1.0, 1.0, 1.0]


def test_a_failing_reward_model_is_raised_where_the_source_says_so():
    with pytest.raises(GraderFailed, match=r"sources\.0.*judge.*no judge"):
        run(
            Add,
            right,
            rewards={"judge": 1.0},
            models={"judge": lambda: Judge(9)},
            on_grader_error="raise",
        )


def test_a_step_in_which_every_grading_fails_stops_the_run():
    with pytest.raises(TrainingError, match=r"graders failed.*no judge"):
        run(Add, right, rewards={"judge": 1.0}, models={"judge": lambda: Judge(9)}, max_refills=1)


def test_a_reward_model_that_returns_too_few_scores_is_a_failed_grading():
    class Short:
        def score(self, batch: Sequence[Scored]) -> list[Score]:
            return []

    with pytest.raises(TrainingError, match="0 scores for 8 completions"):
        run(Add, right, rewards={"short": 1.0}, models={"short": Short})


def test_a_group_below_min_group_is_dropped():
    script = lambda prompt, index: "boom" if index in (0, 1) else right(prompt)  # noqa: E731
    collected, _ = run(Fragile, script, min_group=3)
    assert [g.number for g in collected.kept] == [1]
    assert [g.number for g in collected.dropped] == [0]
    collected, _ = run(Fragile, script, min_group=2)
    assert len(collected.kept) == 2


# --- completions that were cut ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_length", "valid", "reward"),
    [("grade", True, 1.0), ("zero", True, 0.0), ("mask", False, None)],
)
def test_on_length_says_what_becomes_of_a_cut_completion(
    on_length: str, valid: bool, reward: float | None
):
    class Generous(Add):
        env_id = "test/Generous-v1"

        def grade(self, task: Task, completion: str) -> float:
            return 1.0

    def some_long(prompt: str, index: int) -> str:
        return "x" * (100 if index % 4 == 0 else 3)

    collected, _ = run(Generous, some_long, max_tokens=10, on_length=on_length)
    for group in collected.kept:
        cut, *others = group.members
        assert cut.stop_reason == "length"
        assert cut.length == 10
        assert cut.is_valid is valid
        if reward is not None:
            assert cut.reward == reward
        assert {m.reward for m in others} == {1.0}
        assert len(group.valid) == (4 if valid else 3)


def test_processes_share_the_prompts_and_sample_the_same():
    """Two ranks roll out every other prompt; together they are one process's groups."""
    whole, _ = run(Add, half_right, prompts=5)

    def ranked(rank: int) -> list[Group]:
        registry = Here(Add)
        parts: list[Group] = []
        collect(
            Mixture([Source(SourceConfig(env=Add.env_id), registry, "w")], 0, "s"),
            ScriptedSampler(half_right),
            Prompter(TOKENIZER, "chat"),
            Collection(
                params=SamplingParams(max_tokens=60),
                group_size=4,
                noise=(0, "sample", "s"),
                rank=rank,
                world=2,
                gather=lambda groups: parts.extend(groups) or groups,
            ),
            prompts=5,
        )
        return parts

    together = sorted(ranked(0) + ranked(1), key=lambda g: g.number)
    assert [g.number for g in together] == [g.number for g in whole.kept]
    for left, right_ in zip(together, whole.kept, strict=True):
        assert [m.token_ids.tolist() for m in left.members] == [
            m.token_ids.tolist() for m in right_.members
        ]
