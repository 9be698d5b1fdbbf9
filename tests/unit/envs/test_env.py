"""The environment contract: pure resets, splits by content, honest scores."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from palestra.envs import (
    SPLITS,
    MultiTurnEnv,
    Score,
    SingleTurnEnv,
    Split,
    Status,
    Task,
    TextEnv,
    TextSpace,
    Turn,
    prompt_hash,
    single_turn,
    split_of,
    verdict,
)
from palestra.errors import ConfigError, EnvironmentFailed


class Add(SingleTurnEnv):
    env_id = "test/Add-v1"
    difficulties = (1, 4)

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        a, b = (int(n) for n in rng.integers(10**difficulty, size=2))
        language = "en" if rng.random() < 0.5 else "zh"
        prompt = f"What is {a}+{b}?" if language == "en" else f"{a}+{b}是多少？"
        return Task(prompt=prompt, reference=f"secret{a + b}", language=language)


class Listed(SingleTurnEnv):
    env_id = "test/Listed-v1"

    def tasks(self, split: Split) -> Sequence[Task]:
        count = {"train": 20, "validation": 0, "test": 5}[split]
        return [
            Task(prompt=f"{split} {i}", reference=str(i), language=("en", "zh")[i % 2])
            for i in range(count)
        ]


class Named(Listed):
    env_id = "test/Named-v1"

    def tasks(self, split: Split) -> Sequence[Task]:
        return [Task(prompt=f"{split} {i}", id=f"{split[:2]}-row{i}") for i in range(4)]


class Talk(MultiTurnEnv):
    env_id = "test/Talk-v1"
    max_turns = 3

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        return Task(prompt=f"Talk about {rng.integers(10**6)}.", reference="bye")

    def begin(self, task: Task) -> str:
        return f"{task.prompt} Say bye to stop."

    def respond(self, task: Task, action: str) -> Turn:
        done = action == "bye"
        return Turn(
            observation="" if done else f"you said {action}",
            score=Score(value=float(done)),
            done=done,
            role="tool",
        )


def answer(text: object) -> str:
    return f"<think>x</think><answer>{text}</answer>"


def reset(env: TextEnv, seed: int | None = None, **options: Any) -> tuple[str, dict[str, Any]]:
    return env.reset(seed=seed, options=options or None)


# --- reset is pure ---------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    st.integers(0, 2**63 - 1),
    st.sampled_from(SPLITS),
    st.sampled_from([None, "en", "zh"]),
    st.booleans(),
)
def test_reset_is_a_function_of_its_arguments(
    seed: int, split: str, language: str | None, by_index: bool
):
    options: dict[str, Any] = {"split": split, "difficulty": (2, 4)}
    if language:
        options["language"] = language
    if by_index:
        options["index"] = seed
    env, other = Add(), Add()
    first = reset(env, None if by_index else seed, **options)
    for other_seed in (1, 2):  # whatever happened before
        reset(other, other_seed)
        other.step("x")
    assert reset(other, None if by_index else seed, **options) == first
    assert env.task == other.task


@settings(max_examples=40)
@given(
    st.integers(0, 2**63 - 1),
    st.sampled_from(SPLITS),
    st.sampled_from([None, "en", "zh"]),
    st.sampled_from([None, 2, (1, 1), (1, 3)]),
    st.booleans(),
)
def test_a_task_id_brings_its_task_back(
    number: int, split: str, language: str | None, difficulty: Any, by_index: bool
):
    options: dict[str, Any] = {"split": split}
    options |= {"language": language} if language else {}
    options |= {"difficulty": difficulty} if difficulty else {}
    options |= {"index": number} if by_index else {}
    env, again = Add(), Add()
    observation, info = reset(env, number, **options)
    assert reset(again, 5, task_id=info["task_id"], index=3, split="train") == (observation, info)
    assert env.task == again.task


@pytest.mark.parametrize("language", [None, "en", "zh"])
@pytest.mark.parametrize("how", ["seed", "index"])
def test_a_listed_tasks_id_brings_it_back(language: str | None, how: str):
    for number in range(8):
        options: dict[str, Any] = {"language": language} if language else {}
        options |= {"index": number} if how == "index" else {}
        observation, info = reset(Listed(), number, **options)
        assert info["language"] in (("en", "zh") if language is None else (language,))
        assert reset(Listed(), task_id=info["task_id"])[0] == observation


def test_a_task_of_its_own_id_is_found_in_whatever_split():
    for split in SPLITS:
        _, info = reset(Named(), 3, split=split)
        assert info["task_id"].startswith(split[:2])
        again = reset(Named(), task_id=info["task_id"])
        assert again[1]["split"] == split
        assert again[1]["prompt_hash"] == info["prompt_hash"]
    with pytest.raises(ConfigError, match="no task 'none'"):
        reset(Named(), task_id="none")


def test_the_index_goes_before_the_seed_and_the_id_before_both():
    by_index = reset(Add(), 1, index=7)
    assert reset(Add(), 2, index=7) == by_index
    assert reset(Add(), 7) != by_index
    by_id = reset(Add(), 9)
    assert reset(Add(), 1, index=7, task_id=by_id[1]["task_id"]) == by_id


def test_without_a_seed_tasks_come_from_the_environments_own_generator():
    env, other = Add(), Add()
    env.reset(seed=3)
    other.reset(seed=3)
    mine = [env.reset()[0] for _ in range(5)]
    assert mine == [other.reset()[0] for _ in range(5)]
    assert len(set(mine)) == 5


def test_a_task_does_not_depend_on_the_global_generators():
    np.random.seed(0)
    first = reset(Add(), 4)
    np.random.seed(1)
    assert reset(Add(), 4) == first


# --- splits ----------------------------------------------------------------------------------


def test_no_prompt_is_in_two_splits():
    env = Add()
    seen: dict[str, set[str]] = {s: set() for s in SPLITS}
    for split in SPLITS:
        for seed in range(1500):
            observation, info = reset(env, seed, split=split, difficulty=2)
            assert info["split"] == split == split_of(info["prompt_hash"])
            seen[split].add(" ".join(observation.split()).casefold())
    for split in SPLITS:
        assert len(seen[split]) > 700
        for other in SPLITS:
            assert split == other or seen[split].isdisjoint(seen[other])


def test_four_fifths_of_prompts_train():
    splits = [split_of(prompt_hash(f"prompt {i}")) for i in range(5000)]
    assert splits.count("train") / 5000 == pytest.approx(0.8, abs=0.02)
    assert splits.count("test") / 5000 == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    "same",
    [
        "what  is\n2+2? ",
        "WHAT IS 2+2?",
        "What is ２+２？".replace("？", "?"),
        "\tWhat\u00a0is 2+2?",
    ],
)
def test_white_space_case_and_width_do_not_make_another_prompt(same: str):
    assert Task(prompt=same).prompt_hash == Task(prompt="What is 2+2?").prompt_hash


def test_what_the_policy_sees_makes_the_prompt():
    hashes = {
        Task(prompt="a").prompt_hash,
        Task(prompt="b").prompt_hash,
        Task(prompt="a", system="be brief").prompt_hash,
        Task(
            prompt=[{"role": "user", "content": "x"}, {"role": "user", "content": "a"}]
        ).prompt_hash,
    }
    assert len(hashes) == 4
    assert Task(prompt="a", reference=1).prompt_hash == Task(prompt="a", reference=2).prompt_hash


def test_a_set_too_small_for_its_splits_is_a_clear_error():
    class One(SingleTurnEnv):
        env_id = "test/One-v1"

        def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
            return Task(prompt="the only one")

    (own,) = [s for s in SPLITS if split_of(prompt_hash("the only one")) == s]
    reset(One(), 0, split=own)
    other = next(s for s in SPLITS if s != own)
    with pytest.raises(EnvironmentFailed, match=rf"test/One-v1.*1000 draws.*'{other}'"):
        reset(One(), 0, split=other)


def test_an_empty_split_of_a_list_is_a_clear_error():
    with pytest.raises(EnvironmentFailed, match="'validation' holds no task"):
        reset(Listed(), 0, split="validation")


# --- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dificulty": 1}, r"'dificulty'.*Did you mean 'difficulty'"),
        ({"split": "tset"}, r"'tset'.*Did you mean 'test'"),
        ({"difficulty": 9}, r"test/Add-v1 has difficulty 1 to 4, not 9 to 9"),
        ({"difficulty": (0, 2)}, "not 0 to 2"),
        ({"difficulty": (3, 2)}, "not 3 to 2"),
        ({"difficulty": "hard"}, "difficulty"),
        ({"difficulty": (1, 2, 3)}, "difficulty"),
        ({"index": -1}, "index"),
        ({"index": "3"}, "index"),
        ({"task_id": "nowhere"}, "no task 'nowhere'"),
        ({"task_id": 7}, "task_id"),
    ],
)
def test_a_bad_option_is_a_config_error(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        reset(Add(), 0, **options)


def test_an_index_beyond_the_list_is_a_config_error():
    with pytest.raises(ConfigError, match="index 20 of split 'train' of 20"):
        reset(Listed(), index=20)


@pytest.mark.parametrize(
    ("asked", "levels"), [(2, {2}), ((2, 3), {2, 3}), ([1, 4], {1, 2, 3, 4}), (None, {1, 2, 3, 4})]
)
def test_the_difficulty_is_drawn_from_the_range(asked: Any, levels: set[int]):
    options = {} if asked is None else {"difficulty": asked}
    assert {reset(Add(), seed, **options)[1]["difficulty"] for seed in range(60)} == levels


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_language_is_the_one_asked_for(language: str):
    assert {reset(Add(), s, language=language)[1]["language"] for s in range(40)} == {language}


def test_a_language_that_it_does_not_speak_is_a_clear_error():
    with pytest.raises(EnvironmentFailed, match="'fr'"):
        reset(Add(), 0, language="fr")


# --- step ------------------------------------------------------------------------------------


def test_a_single_turn_ends_terminated_and_never_truncated():
    env = Add()
    reset(env, 0)
    assert env.task is not None
    observation, reward, terminated, truncated, info = env.step(answer(env.task.reference))
    assert (observation, reward, terminated, truncated) == ("", 1.0, True, False)
    assert info["reward_components"] == {"accuracy": 1.0, "lenient_accuracy": 1.0}
    assert (info["reward_status"], info["reward_valid"]) == ("ok", True)
    assert info["stop_reason"] == "terminated"
    assert isinstance(reward, float)


@pytest.mark.parametrize(
    ("completion", "status", "lenient"),
    [
        (answer("wrong"), "ok", 0.0),
        ("no tags", "unparsable", 0.0),
        ("", "unparsable", 0.0),
        ("so\n{}", "unparsable", 1.0),
    ],
)
def test_a_wrong_answer_earns_zero_and_is_a_verdict(completion: str, status: str, lenient: float):
    env = Add()
    reset(env, 0)
    assert env.task is not None
    _, reward, terminated, _, info = env.step(completion.format(env.task.reference))
    assert (reward, terminated, info["reward_status"], info["reward_valid"]) == (
        0.0,
        True,
        status,
        True,
    )
    assert info["reward_components"]["lenient_accuracy"] == lenient


def test_a_step_needs_a_reset():
    env = Add()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("x")
    reset(env, 0)
    env.step("x")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("x")


@pytest.mark.parametrize("action", [None, 3, b"x", "x" * 1_000_001])
def test_what_is_no_text_is_no_action(action: Any):
    env = Add()
    reset(env, 0)
    with pytest.raises(ConfigError, match="not an action"):
        env.step(action)


def test_a_conversation_is_truncated_at_its_limit():
    env = Talk()
    reset(env, 0)
    ends = [env.step(str(i))[2:4] for i in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


def test_a_conversation_that_ends_at_its_limit_is_terminated():
    env = Talk()
    reset(env, 0)
    env.step("a")
    env.step("b")
    _, reward, terminated, truncated, info = env.step("bye")
    assert (reward, terminated, truncated, info["stop_reason"]) == (1.0, True, False, "terminated")


def test_messages_hold_the_conversation_as_the_policy_saw_it():
    env = Talk()
    observation, info = reset(env, 0)
    assert info["messages"] == [{"role": "user", "content": observation}]
    assert observation.endswith("Say bye to stop.")
    info = env.step("hello")[-1]
    assert [m["role"] for m in info["messages"]] == ["user", "assistant", "tool"]
    assert [m["content"] for m in info["messages"]] == [observation, "hello", "you said hello"]


def test_changing_info_changes_nothing():
    env = Talk()
    _, info = reset(env, 0)
    info["messages"][0]["content"] = "spoiled"
    info["messages"].clear()
    assert env.step("x")[-1]["messages"][0]["content"].startswith("Talk about")


@pytest.mark.parametrize("env", [Add(), Listed(), Talk()], ids=lambda e: e.env_id)
def test_the_reference_is_never_shown(env: TextEnv):
    for seed in range(20):
        observation, info = reset(env, seed)
        assert env.task is not None
        secret = str(env.task.reference)
        assert "reference" not in info
        if len(secret) > 4:
            assert secret not in observation
            assert secret not in json.dumps(info)
        info = env.step("x")[-1]
        assert "reference" not in info
        assert len(secret) <= 4 or secret not in json.dumps(info)


@pytest.mark.parametrize("env", [Add(), Listed(), Talk()], ids=lambda e: e.env_id)
def test_it_passes_gymnasiums_own_checker(env: TextEnv):
    check_env(env, skip_render_check=True)


# --- scores ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_score_must_be_finite(value: float):
    with pytest.raises(ValueError, match="finite"):
        Score(value=value)
    with pytest.raises(ValueError, match="'style' must be finite"):
        Score(value=0.0, components={"style": value})


def test_an_unknown_status_is_refused():
    with pytest.raises(ValueError, match="fine"):
        Score(value=0.0, status="fine")  # type: ignore[arg-type]
    assert Score(value=0.0, status="timeout").status is Status.TIMEOUT  # type: ignore[arg-type]


@pytest.mark.parametrize("status", Status)
def test_only_verdicts_are_valid(status: Status):
    assert status.is_valid == (status in (Status.OK, Status.UNPARSABLE))


@pytest.mark.parametrize(
    ("raises", "status"),
    [
        (ZeroDivisionError("broken"), "error"),
        (TimeoutError("late"), "timeout"),
        (AssertionError("no"), "error"),
        (KeyError("key"), "error"),
    ],
)
@pytest.mark.parametrize("base", [Add, Talk])
def test_a_grader_that_raises_is_no_verdict(raises: Exception, status: str, base: type[TextEnv]):
    class Broken(base):  # type: ignore[misc,valid-type]
        def grade(self, task: Task, completion: str) -> Score:
            raise raises

        def respond(self, task: Task, action: str) -> Turn:
            raise raises

    env = Broken()
    reset(env, 0)
    _, reward, terminated, _, info = env.step("x")
    assert (reward, terminated) == (0.0, True)
    assert (info["reward_status"], info["reward_valid"]) == (status, False)
    assert type(raises).__name__ in info["reason"]
    assert info["task_id"] in info["reason"]


@pytest.mark.parametrize("result", [float("nan"), "1.0 or so", None])
def test_a_grader_that_returns_nonsense_is_no_verdict(result: Any):
    class Odd(Add):
        def grade(self, task: Task, completion: str) -> Any:
            return result

    env = Odd()
    reset(env, 0)
    _, reward, _, _, info = env.step("x")
    assert reward == 0.0
    assert not info["reward_valid"]


@pytest.mark.parametrize("result", [1, True, np.float32(1.0)])
def test_a_number_is_the_component_accuracy(result: Any):
    class Number(Add):
        def grade(self, task: Task, completion: str) -> Any:
            return result

    env = Number()
    reset(env, 0)
    _, reward, _, _, info = env.step("x")
    assert reward == 1.0
    assert info["reward_components"] == {"accuracy": 1.0}


def test_an_invalid_score_pays_nothing_whatever_it_says():
    class Liar(Add):
        def grade(self, task: Task, completion: str) -> Score:
            return Score(value=1.0, status=Status.ERROR)

    env = Liar()
    reset(env, 0)
    assert env.step("x")[1] == 0.0


def test_a_sampler_that_raises_names_environment_and_cause():
    class Broken(SingleTurnEnv):
        env_id = "test/Broken-v1"

        def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
            raise KeyError("gone")

    with pytest.raises(EnvironmentFailed, match=r"test/Broken-v1.*KeyError: 'gone'") as caught:
        reset(Broken(), 0)
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_environment_without_tasks_says_what_is_missing():
    with pytest.raises(EnvironmentFailed, match=r"must define sample\(\) or tasks\(\)"):
        reset(SingleTurnEnv(), 0)


def test_a_verdict_keeps_strict_and_lenient_apart():
    score = verdict("5", correct=False, lenient=True)
    assert (score.value, score.status, score.extracted) == (0.0, Status.OK, "5")
    assert score.components == {"accuracy": 0.0, "lenient_accuracy": 1.0}
    assert verdict(None, correct=False, lenient=True).status is Status.UNPARSABLE


# --- in ten lines ----------------------------------------------------------------------------


def tiny() -> type[SingleTurnEnv]:
    @single_turn("acme/Times-v1", difficulties=(1, 3))
    def times(rng: np.random.Generator, difficulty: int) -> Task:
        """Products."""
        a, b = rng.integers(2, 10 ** (difficulty + 1), size=2)
        return Task(prompt=f"What is {a} times {b}?", reference=int(a * b))

    return times


def test_an_environment_takes_less_than_ten_lines():
    assert len(inspect.getsource(tiny).splitlines()) < 10
    cls = tiny()
    assert (cls.__name__, cls.env_id, cls.difficulties, cls.__doc__) == (
        "times",
        "acme/Times-v1",
        (1, 3),
        "Products.",
    )
    env = cls()
    check_env(env, skip_render_check=True)
    observation, _ = reset(env, 5, difficulty=3)
    assert env.task is not None
    a, b = (int(n) for n in observation.removeprefix("What is ").removesuffix("?").split(" times "))
    assert env.step(answer(a * b))[1] == 1.0
    reset(env, 5, difficulty=3)
    assert env.step(answer(a * b + 1))[1] == 0.0


def test_its_own_reference_earns_the_maximum():
    env = tiny()()
    for seed in range(20):
        reset(env, seed)
        assert env.task is not None
        completion = env.reference_completion(env.task)
        assert completion is not None
        assert env.step(completion)[1] == 1.0


def test_its_grader_can_be_given():
    @single_turn("acme/Long-v1", grade=lambda task, completion: len(completion) / 10)
    def long(rng: np.random.Generator, difficulty: int) -> Task:
        return Task(prompt=f"Write {rng.integers(10**6)} words.")

    env = long()
    reset(env, 0)
    assert env.step("12345")[1] == 0.5


# --- the space -------------------------------------------------------------------------------


def test_any_string_up_to_a_length_is_in_the_space():
    space = TextSpace(10)
    for text in ("", " ", "数学", "a\nb", "\x00", "x" * 10):
        assert text in space
    for other in ("x" * 11, 1, None, b"x", ["x"]):
        assert other not in space


def test_samples_are_in_the_space_and_follow_its_seed():
    space, other = TextSpace(5, seed=1), TextSpace(5, seed=1)
    samples = [space.sample() for _ in range(50)]
    assert all(s in space for s in samples)
    assert samples == [other.sample() for _ in range(50)]
    assert len(set(samples)) > 20


def test_spaces_of_one_length_are_equal():
    assert TextSpace(5) == TextSpace(5)
    assert hash(TextSpace(5)) == hash(TextSpace(5))
    assert TextSpace(5) != TextSpace(6)
    assert repr(TextSpace(5)) == "TextSpace(5)"
