"""The audit of training prompts against evaluation questions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from palestra.mixture.audit import normalised_words, overlap

STORY = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
)
TAIL = " How many clips did Natalia sell altogether in April and May?"


def test_an_identical_prompt_is_found_whatever_its_case_and_spaces() -> None:
    found = overlap("test", [STORY], [STORY.upper().replace(" ", "  ")])
    assert (found.identical, found.shared, found.example) == (1, 1, STORY)


def test_a_quotation_of_thirteen_words_is_found_and_is_not_identical() -> None:
    found = overlap("test", [STORY + TAIL], ["Once: " + STORY + " What did she earn?"])
    assert (found.identical, found.shared) == (0, 1)
    assert found.example == STORY + TAIL


def test_twelve_words_in_common_are_too_few() -> None:
    words = [f"w{i}" for i in range(40)]
    question = " ".join(words[:20])
    assert overlap("t", [question], [" ".join(words[8:30])]).shared == 0
    assert overlap("t", [question], [" ".join(words[7:30])]).shared == 1
    assert overlap("t", [question], [" ".join(words[8:30])], ngram=12).shared == 1


def test_phrasing_that_all_questions_have_is_not_counted() -> None:
    frame = (
        "Think step by step, then give the answer in tags and nothing else after it. "
        "What is {} plus {}?"
    )
    questions = [frame.format(i, i + 1) for i in range(100)]
    training = [frame.format(i, i + 2) for i in range(100)]
    found = overlap("arithmetic", questions, training)
    assert (found.questions, found.identical) == (100, 0)
    assert found.shared == 0


def test_chinese_counts_by_the_character() -> None:
    assert normalised_words("小明有5个苹果") == ["小", "明", "有", "5", "个", "苹", "果"]
    question = "小明有十二个苹果他吃了三个还剩几个"
    assert overlap("zh", [question], ["请问" + question + "?"]).shared == 1


@given(st.lists(st.text(max_size=80), min_size=1, max_size=8), st.lists(st.text(max_size=80)))
def test_counts_hold_together_for_any_text(questions: list[str], training: list[str]) -> None:
    found = overlap("any", questions, training)
    assert 0 <= found.identical <= found.shared <= found.questions == len(questions)
    assert bool(found.example or "") <= bool(found.shared)
    everything = overlap("any", questions, [*training, *questions])
    assert everything.identical == len(questions)
