"""Every kind of instruction: what keeps it, what only seems to, and worked answers that do."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from palestra_general.constraints import KINDS
from palestra_general.instruction_following import InstructionFollowingEnv

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    # kind, parameters, a text that keeps it, and one that nearly does
    ("words_at_most", {"n": 3}, "one two-fold three", "one two three four"),
    ("words_between", {"low": 2, "high": 3}, "it's fine", "word"),
    ("sentences_exactly", {"n": 2}, "One is here. Two is there!", "One is here. Two is there"),
    ("characters_at_most", {"n": 5}, "four", "fives"),
    ("short_sentences", {"n": 3}, "One two three. Four!", "One two three four. Five."),
    ("keywords", {"words": ["amber", "paper"]}, "Paper of Amber.", "Papers and amber."),
    ("keyword_exactly", {"word": "today", "n": 2}, "Today, today!", "today today today"),
    ("forbidden_words", {"words": ["very", "just"]}, "An adjusted every.", "It is VERY late."),
    ("forbidden_letter", {"letter": "z"}, "sebra", "Zebra"),
    ("short_words", {"n": 4}, "four for me", "fives"),
    ("no_commas", {}, "one; two", "一，二"),
    ("no_digits", {}, "one", "1st"),
    ("exclamations", {}, "Yes! No!", "Yes! No."),
    ("language", {"language": "ru"}, "Это очень хорошая тема.", "Это is a good topic."),
    ("lower_case", {}, "all of it", "All of it"),
    ("upper_case", {}, "ALL OF IT", "ALL OF it"),
    ("words_in_capitals", {"n": 2}, "so BIG and RED", "so BIG and I"),
    ("paragraphs_exactly", {"n": 2}, "One.\n\nTwo.", "One.\nTwo."),
    ("sections_exactly", {"n": 2}, "Section 1\na\nSection 2\nb", "Section 1\nSection 2\nb"),
    ("bullets_exactly", {"n": 2}, "So:\n- a\n- b", "So: - a - b"),
    ("numbered_list", {"n": 2}, "1. a\n2. b", "1. a\n3. b"),
    ("json_object", {"keys": ["a", "b"]}, '{"a": "x", "b": "y"}', '{"a": "x", "b": 2}'),
    ("acrostic", {"word": "me"}, "My\nEgg", "My\nHen"),
    ("two_answers", {}, "One.\n******\nTwo.", "One.\n******\nOne."),
    ("title", {}, "<<Owls>>\nThey fly.", "<<Owls>>"),
    ("starts_with", {"phrase": "To be clear"}, "to be clear, no.", "So to be clear"),
    ("ends_with", {"phrase": "The end."}, "It was the end.", "The end. Or not?"),
    ("postscript", {}, "Bye.\nP.S. Write soon.", "Bye. P.S. Write soon."),
    ("highlights", {"n": 2}, "*one* and *two words*", "**one and *two"),
    ("placeholders", {"n": 1}, "Dear [name]", "Dear []"),
    ("quoted", {}, '"All of it."', '"All" of "it"'),
]


def test_there_is_a_case_for_every_kind():
    assert [name for name, *_ in CASES] == list(KINDS)
    assert len(KINDS) >= 20


@pytest.mark.parametrize(("name", "params", "keeps", "breaks"), CASES, ids=[c[0] for c in CASES])
def test_a_kind_holds_what_it_says(name: str, params: dict[str, Any], keeps: str, breaks: str):
    kind = KINDS[name]
    assert kind.say(params)
    assert kind.holds(params, keeps)
    assert not kind.holds(params, breaks)
    assert kind.holds(params, "") in (True, False)


def test_worked_answers_keep_all_instructions_and_every_kind_is_asked():
    env = InstructionFollowingEnv()
    asked: Counter[str] = Counter()
    for seed in range(400):
        env.reset(seed=seed, options={"difficulty": 1 + seed % 4})
        task = env.task
        assert task is not None
        kinds = [str(k["kind"]) for k in task.metadata["kinds"]]  # type: ignore[union-attr]
        assert len(kinds) == len({KINDS[k].group for k in kinds}) == 3 + seed % 4
        asked.update(kinds)
        score = env.grade(task, env.reference_completion(task))
        assert score.components == {"accuracy": 1.0, "instructions": 1.0}
    assert set(asked) == set(KINDS)


def test_what_is_broken_is_named_and_the_rest_counts_as_kept():
    env = InstructionFollowingEnv()
    env.reset(seed=3, options={"difficulty": 4})
    assert env.task is not None
    score = env.grade(env.task, "<answer>" + "word " * 200 + "</answer>")
    assert score.value == 0.0
    assert "keywords, words_at_most" in score.reason
    assert 0 < score.components["instructions"] < 1


def test_a_copy_of_the_prompt_earns_nothing_of_any_kind():
    env = InstructionFollowingEnv()
    for seed in range(50):
        prompt, _ = env.reset(seed=seed)
        assert env.task is not None
        copied = f"{env.task.reference}\n{prompt.splitlines()[1]}"
        assert env.grade(env.task, f"<answer>{copied}</answer>").components["instructions"] == 0.0
