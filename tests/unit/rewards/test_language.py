"""Language consistency: which words count, and as whose."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palestra.envs import Status
from palestra.rewards.base import Scored
from palestra.rewards.language import LanguageConsistencyReward, chain_of_thought, language_share


@pytest.mark.parametrize(
    ("text", "language", "share"),
    [
        ("we add the ones first", "en", 1.0),
        ("we add the ones first", "zh", 0.0),
        ("先算个位", "zh", 1.0),
        ("先算个位", "en", 0.0),
        ("先算 ones 再算 tens", "zh", 4 / 6),
        ("先算 ones 再算 tens", "en", 2 / 6),
        ("ones: 3+4=7, so 7", "en", 1.0),
        ("个位：3+4=7，所以7", "zh", 1.0),
        ("12 + 30 = 42", "en", None),
        ("", "zh", None),
        ("？！。，", "zh", None),
        ("x + y = z", "en", None),  # single letters are names, not words
        ("设 x 为 A 的数", "zh", 1.0),
        ("I am 一", "en", 1 / 2),
        ("所以 GROYQVZ", "zh", 1.0),  # names of things in capitals, as an ordering's
        ("用 GPU 算", "zh", 1.0),
        ("SHOUTING WORDSWORDS", "en", 1.0),
        ("先算 $a + over = thing$ 再说", "zh", 1.0),
        (r"先算 \(first thing\) 再说", "zh", 1.0),
        (r"先算 \[ first \times thing \] 再说", "zh", 1.0),
        (r"先算 $$ first $$ 和 \frac{12}{34} 再说", "zh", 1.0),
        (r"answer is \boxed{12}", "en", 1.0),
        ("用 `print(name)` 打印", "zh", 1.0),
        ("用\n```python\nfor name in names: pass\n```\n打印", "zh", 1.0),
        ("用 ```python never closed", "zh", 1.0),
        ("见 https://example.com/some/page?name=value 的说明", "zh", 1.0),
        ("it costs $5 only", "en", 1.0),
        ("été déjà vu", "fr", 1.0),
        ("привет мир and you", "ru", 2 / 4),
        ("日本語のテスト", "ja", 1.0),
        ("안녕 세상", "ko", 1.0),
        ("先算", "zh-CN", 1.0),
        ("hello there", "EN-us", 1.0),
    ],
)
def test_the_share_is_of_words_in_the_language(text: str, language: str, share: float | None):
    assert language_share(text, language) == (None if share is None else pytest.approx(share))


@pytest.mark.parametrize(
    ("completion", "thoughts"),
    [
        ("<think>a b</think><answer>c</answer>", "a b"),
        ("<think>a b", "a b"),
        ("<think>a</think>x<think>b</think>", "a\nb"),
        ("no tags <answer>c</answer> here", "no tags   here"),
        ("no tags <answer>c", "no tags  "),
        ("plain", "plain"),
    ],
)
def test_the_chain_of_thought_is_what_the_tags_hold(completion: str, thoughts: str):
    assert chain_of_thought(completion) == thoughts


@pytest.mark.parametrize(
    ("completion", "english"),
    [
        ("绿 绿 绿", 0),
        (
            "<think>first G\nG在Z前\nZ before R\nR before N\n所以GZRN</think><answer>GZRN</answer>",
            3 / 7,
        ),
        ("首先N\nA before V\nV before Y\nso NVY", 3 / 5),
        ("snow snow", 1),
        ("<think>首先E\nE before R\nR在N前\n所以ERN</think><answer>ERN</answer>", 1 / 7),
        (
            "<think>ones: 3+3=6\n十位：7+4=15\n等等，十位：7+8=15\nso 156</think><answer>156</answer>",
            1 / 4,
        ),
        ("<think>首先B\nB before E\nE before F\nso BEF</think><answer>BEF</answer>", 3 / 5),
        (
            "个位：8+4=42进1\ntens: 7+2+1=10 carry 1\nhundreds: 3+3+1=9\nwait, hundreds: 3+5+1=9\n所以902",
            1 / 2,
        ),
        ("<think>first E\nU在C前\nC before S\n所以ECN</think><answer>ECN</answer>", 1 / 3),
        ("<think>ones: 6-2=9\ntens: 5-5=0\nso 4</think>4", 1),
        ("<think>first J\nJ before I\nV在R前\nR before N\nso JVRN</think>JVRN", 2 / 3),
        (
            "<think>ones: 5+8=8\nwait, ones: 0+8=8\n十位：0+1=8\nhundreds: 6+6=14\n所以1288</think>1288",
            1 / 2,
        ),
        ("<think>start from the last</think><answer>sun dog cup</answer>", 1),
        ("first N\nN before B\nK before U\nU在V前\nV在E前\nso NKUVE", 1 / 2),
    ],
)
def test_the_verdicts_on_the_embedded_models_text_stay(completion: str, english: float):
    """r1-tiny's published numbers depend on them: its corpus writes such text."""
    thoughts = chain_of_thought(completion)
    assert language_share(thoughts, "en") == pytest.approx(english)
    assert language_share(thoughts, "zh") == pytest.approx(1 - english)


def reward(completion: str, language: str | None) -> tuple[float, Status]:
    item = Scored(messages=[], completion=completion, language=language, env_id="", task_id="")
    (score,) = LanguageConsistencyReward().score([item])
    assert score.components == {"language_consistency": score.value}
    return score.value, score.status


def test_only_the_thoughts_are_judged():
    assert reward("<think>我们先算</think><answer>the answer</answer>", "zh") == (1.0, Status.OK)
    assert reward("<think>our first</think><answer>答案</answer>", "zh") == (0.0, Status.OK)


def test_silence_earns_nothing_and_is_a_verdict():
    assert reward("<think>1+1=2</think><answer>two</answer>", "en") == (0.0, Status.UNPARSABLE)
    assert reward("<think></think><answer>two</answer>", "en")[1].is_valid


def test_without_a_language_all_is_consistent():
    assert reward("anything 一", None) == (1.0, Status.OK)


WORDS = st.lists(
    st.sampled_from(["alpha", "beta", "一", "二三", "привет", "42", "x", "+"]), max_size=12
)


@given(st.text(max_size=200), st.sampled_from(["en", "zh", "ru", "ja"]))
def test_a_share_is_between_zero_and_one(text: str, language: str):
    share = language_share(text, language)
    assert share is None or 0 <= share <= 1


@given(WORDS, WORDS, st.sampled_from(["en", "zh", "ru"]))
def test_a_whole_lies_between_its_parts(left: list[str], right: list[str], language: str):
    first, second = " ".join(left), " ".join(right)
    shares = [
        s
        for s in (language_share(first, language), language_share(second, language))
        if s is not None
    ]
    whole = language_share(f"{first} {second}", language)
    assert (whole is None) == (not shares)
    if whole is not None:
        assert min(shares) - 1e-12 <= whole <= max(shares) + 1e-12


@given(WORDS)
def test_scripts_share_the_words_between_them(words: list[str]):
    shares = [language_share(" ".join(words), lang) for lang in ("en", "zh", "ru")]
    if None not in shares:
        assert sum(s for s in shares if s is not None) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "hostile",
    [
        "\\(" * 60_000,
        "\\[" * 60_000,
        "$a" * 60_000,
        "$$" * 60_001,
        "```" * 60_001,
        "`a" * 60_001,
        "http" * 60_000,
        "<think>" * 60_000,
        "<answer>" * 60_000,
        "https://" * 20_000,
        "\\" * 100_000,
    ],
    ids=range(11),
)
def test_hostile_text_is_judged_at_once(hostile: str):
    started = time.process_time()
    reward(hostile, "en")
    assert time.process_time() - started < 2
