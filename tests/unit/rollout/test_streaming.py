"""A completion as text while it is made."""

from __future__ import annotations

import threading
from itertools import groupby

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palestra.recipe.models import resolve_model
from palestra.rollout.samplers.base import Request, SamplingParams
from palestra.rollout.samplers.transformers import TransformersSampler
from palestra.rollout.streaming import TAGS, Splitter, stream
from palestra.stages.policy import LoadedPolicy, load_model


def split(pieces: list[str]) -> list[tuple[str, str]]:
    splitter = Splitter()
    parts = [part for piece in pieces for part in splitter.feed(piece)]
    parts += splitter.feed("", last=True)
    return [(p, "".join(t for _, t in rows)) for p, rows in groupby(parts, key=lambda row: row[0])]


def test_thoughts_and_answer():
    text = "<think>2+2 is 4</think>\n<answer>4</answer>"
    assert split([text]) == [("thinking", "2+2 is 4"), ("answer", "\n4")]


def test_what_only_looks_like_a_tag_is_text():
    assert split(["a < b <thin", "g>"]) == [("answer", "a < b <thing>")]
    assert split(["cut in the <thi"]) == [("answer", "cut in the <thi")]


@given(
    st.lists(st.sampled_from([*TAGS, "<", "a", "\n", "</", "think"]), max_size=12),
    st.lists(st.integers(0, 60), max_size=6),
)
def test_where_the_pieces_end_does_not_matter(words: list[str], cuts: list[int]):
    text = "".join(words)
    places = sorted({min(c, len(text)) for c in cuts})
    bounds = list(zip([0, *places], [*places, len(text)], strict=True))
    assert split([text[a:b] for a, b in bounds]) == split([text])


@pytest.fixture(scope="module")
def tiny() -> LoadedPolicy:
    return load_model(resolve_model("tiny").source, "chat", "<think>", torch.device("cpu"))


@pytest.mark.parametrize("question", ["What is 3+4?", "3+4等于多少？"])
def test_greedy_pieces_are_what_the_sampler_says(tiny: LoadedPolicy, question: str):
    ids = tiny.prompter.open([{"role": "user", "content": question}])
    params = SamplingParams(temperature=0.0, max_tokens=48)
    pieces = list(stream(tiny.model, tiny.prompter, ids, params, 0))
    stops = tiny.prompter.stop_token_ids
    request = Request(token_ids=ids, seed=0, params=params, stop_token_ids=stops)
    (whole,) = TransformersSampler(tiny.model).generate([request])
    assert "".join(pieces) == tiny.prompter.action(whole.token_ids)
    assert len(pieces) > 3
    assert pieces[0].startswith("<think>")


def test_who_stops_reading_stops_the_model(tiny: LoadedPolicy):
    ids = tiny.prompter.open([{"role": "user", "content": "What is 3+4?"}])
    never = next(i for i in range(3) if i not in tiny.prompter.stop_token_ids)
    tiny.prompter.stop_token_ids, kept = (never,), tiny.prompter.stop_token_ids
    before = set(threading.enumerate())
    try:
        pieces = stream(tiny.model, tiny.prompter, ids, SamplingParams(max_tokens=100_000), 0)
        next(pieces)
        assert set(threading.enumerate()) - before  # it generates
        pieces.close()
        assert not set(threading.enumerate()) - before
    finally:
        tiny.prompter.stop_token_ids = kept


def test_what_generate_raises_reaches_the_reader(tiny: LoadedPolicy):
    with pytest.raises(IndexError):
        list(stream(tiny.model, tiny.prompter, (10**6,), SamplingParams(max_tokens=4), 0))
