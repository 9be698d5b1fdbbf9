"""`logic/Ordering-v1`: exactly one order fits, found by trying all."""

from __future__ import annotations

import itertools
import re

import pytest
from gymnasium.utils.env_checker import check_env

from palestra.envs import SPLITS, Task
from palestra.rewards.format import is_strict
from palestra.rewards.language import chain_of_thought, language_share
from palestra_logic.ordering import OrderingEnv

PREMISE = {"en": re.compile(r"([A-Z]) before ([A-Z])"), "zh": re.compile(r"([A-Z])在([A-Z])前")}
PROMPT = {
    "en": r"(?:[A-Z] before [A-Z](?:; |\. ))+What is the order\?",
    "zh": r"(?:[A-Z]在[A-Z]前[；。])+顺序是什么？",
}


def answer(text: object) -> str:
    return f"<think>x</think><answer>{text}</answer>"


def drawn(level: int, language: str, count: int = 100) -> list[Task]:
    tasks = []
    for seed in range(count):
        env = OrderingEnv()
        env.env_id = "logic/Ordering-v1"
        env.reset(
            seed=seed,
            options={"difficulty": level, "language": language, "split": SPLITS[seed % 3]},
        )
        assert env.task is not None
        tasks.append(env.task)
    return tasks


def solutions(prompt: str, language: str) -> list[str]:
    """Every order of the prompt's letters that satisfies its premises."""
    pairs = PREMISE[language].findall(prompt)
    letters = sorted({letter for pair in pairs for letter in pair})
    return [
        "".join(order)
        for order in itertools.permutations(letters)
        if all(order.index(a) < order.index(b) for a, b in pairs)
    ]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_one_order_fits_and_it_is_the_reference(level: int, language: str):
    for task in drawn(level, language, 100 if level < 5 else 40):
        prompt = str(task.prompt)
        assert re.fullmatch(PROMPT[language], prompt)
        assert solutions(prompt, language) == [task.reference]
        assert len(str(task.reference)) == level + 2


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_references_earn_one_and_every_other_order_nothing(level: int, language: str):
    env = OrderingEnv()
    for task in drawn(level, language):
        completion = env.reference_completion(task)
        assert is_strict(completion)
        assert language_share(chain_of_thought(completion), language) == 1.0
        assert env.grade(task, completion).components == {"accuracy": 1.0, "lenient_accuracy": 1.0}
        order = str(task.reference)
        for wrong in itertools.islice(itertools.permutations(order), 1, 30):
            if "".join(wrong) != order:
                assert env.grade(task, answer("".join(wrong))).value == 0.0
        for wrong in (
            order[:-1],
            order + order[0],
            order.lower(),
            "",
            f"the order {order}",
            "0" + order,
        ):
            assert env.grade(task, answer(wrong)).value == 0.0


@pytest.mark.parametrize("joint", ["", " ", ", ", " > ", "，", "、", " ＞ ", "\n"])
def test_an_order_may_be_written_as_people_do(joint: str):
    for task in drawn(3, "en", 10):
        written = joint.join(str(task.reference))
        assert OrderingEnv().grade(task, answer(written)).value == 1.0


def test_lenient_accuracy_takes_the_last_order_anywhere():
    (task,) = drawn(2, "en", 1)
    order = str(task.reference)
    for text, lenient in (
        (f"so it is {', '.join(order)}.", 1.0),
        (f"{order} or {order[::-1]}", 0.0),
        ("no order at all", 0.0),
    ):
        score = OrderingEnv().grade(task, text)
        assert (score.value, score.components["lenient_accuracy"]) == (0.0, lenient)
        assert score.status == "unparsable"


def test_the_premises_are_shuffled():
    """The first premise's first letter is the first of the order no more often than by chance."""
    tasks = drawn(5, "en", 200)
    first = sum(str(t.prompt)[0] == str(t.reference)[0] for t in tasks)
    assert first < 70  # 1 in 6 by chance


def test_it_passes_gymnasiums_checker():
    check_env(OrderingEnv(), skip_render_check=True)
