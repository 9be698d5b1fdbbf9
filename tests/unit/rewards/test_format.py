"""R1's strict format: each tag once, in order, nothing outside."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palestra.rewards.base import Scored
from palestra.rewards.format import FormatReward, is_strict

GOOD = [
    "<think>a</think><answer>b</answer>",
    "<think>\na\n</think>\n<answer>\nb\n</answer>",
    "  <think>a</think> \n\t <answer>b</answer>\n",
    "<think>1 < 2 > 0 </ think></think><answer><b></answer>",
    "<think>想</think><answer>四</answer>",
    "<think>the tag &lt;answer&gt; comes later</think><answer>x</answer>",
    "<think>a</think>\u3000<answer>b</answer>",
]
BAD = {
    "nothing": "",
    "no tags": "the answer is 4",
    "no answer": "<think>a</think>",
    "no thoughts": "<answer>b</answer>",
    "wrong order": "<answer>b</answer><think>a</think>",
    "answer within thoughts": "<think>a<answer>b</answer></think>",
    "thoughts within answer": "<answer><think>a</think>b</answer>",
    "text before": "So: <think>a</think><answer>b</answer>",
    "text between": "<think>a</think> so <answer>b</answer>",
    "text behind": "<think>a</think><answer>b</answer> done",
    "empty thoughts": "<think></think><answer>b</answer>",
    "blank thoughts": "<think> \n</think><answer>b</answer>",
    "empty answer": "<think>a</think><answer></answer>",
    "blank answer": "<think>a</think><answer>\t</answer>",
    "thoughts twice": "<think>a</think><think>a</think><answer>b</answer>",
    "answer twice": "<think>a</think><answer>b</answer><answer>c</answer>",
    "both twice": "<think>a</think><answer>b</answer>" * 2,
    "nested thoughts": "<think><think>a</think></think><answer>b</answer>",
    "nested answer": "<think>a</think><answer><answer>b</answer></answer>",
    "opened again within": "<think>a<think></think><answer>b</answer>",
    "closed twice": "<think>a</think></think><answer>b</answer>",
    "answer opened in thoughts": "<think>a <answer> b</think><answer>b</answer>",
    "not closed": "<think>a</think><answer>b",
    "thoughts not closed": "<think>a<answer>b</answer>",
    "not opened": "a</think><answer>b</answer>",
    "capitals": "<THINK>a</THINK><answer>b</answer>",
    "spaced tags": "< think >a</ think ><answer>b</answer>",
    "end token within": "<think>a</think><|end|><answer>b</answer>",
}


def score(completion: str) -> float:
    item = Scored(messages=[], completion=completion, language=None, env_id="", task_id="")
    (found,) = FormatReward().score([item])
    assert found.components == {"format": found.value}
    assert found.status.is_valid
    return found.value


@pytest.mark.parametrize("completion", GOOD)
def test_the_strict_format_earns_one(completion: str):
    assert is_strict(completion)
    assert score(completion) == 1.0


@pytest.mark.parametrize("case", BAD)
def test_anything_else_earns_nothing(case: str):
    assert not is_strict(BAD[case])
    assert score(BAD[case]) == 0.0


def test_a_prefilled_tag_counts_as_the_policys():
    prefill, written = "<think>\n", "a</think><answer>b</answer>"
    assert score(prefill + written) == 1.0
    assert score(prefill + "<think>" + written) == 0.0  # said again


PART = st.text(
    st.characters(exclude_characters="<>", exclude_categories=("Cs",)), min_size=1
).filter(lambda s: any(c.isprintable() and not c.isspace() for c in s))


@given(PART, PART, st.text(" \n\t"), st.text(" \n\t"))
def test_any_two_parts_in_their_tags_are_strict(
    thoughts: str, answer: str, between: str, around: str
):
    text = f"{around}<think>{thoughts}</think>{between}<answer>{answer}</answer>{around}"
    assert is_strict(text)


@given(
    st.lists(
        st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "a", " "]), max_size=9
    )
)
def test_only_one_order_of_tags_is_strict(pieces: list[str]):
    tags = [p for p in pieces if p.startswith("<")]
    text = "".join(pieces)
    if is_strict(text):
        assert tags == ["<think>", "</think>", "<answer>", "</answer>"]
        assert text.strip().startswith("<think>")
        assert text.strip().endswith("</answer>")


@pytest.mark.parametrize(
    "hostile",
    [
        "<think>" * 50_000,
        "<think>a</think><answer>" * 50_000,
        "<think>" + "</think><answer>" * 50_000,
        "<think>a</think>" + " " * 500_000 + "x<answer>b</answer>",
        " " * 500_000 + "x",
        "<think>a</think><answer>" + "b </answer" * 50_000,
        "<" * 500_000,
    ],
    ids=range(7),
)
def test_hostile_text_is_judged_at_once(hostile: str):
    started = time.process_time()
    assert not is_strict(hostile)
    assert time.process_time() - started < 2
