"""`target_language_share`: which words count, and in whose language they are."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palestra.errors import ConfigError
from palestra.rewards.base import Scored
from palestra_language import target_language_share
from palestra_language.consistency import ASKED
from palestra_language.reward import TargetLanguageReward

GERMAN = "Zuerst addieren wir die Einer und danach die Zehner."
ENGLISH = "First we add the ones and after that we add the tens."
JAPANESE = "まず一の位を計算します。"
CHINESE = "首先计算个位上的数字。"


@pytest.mark.parametrize(
    ("text", "language", "share"),
    [
        (GERMAN, "de", 1.0),
        (GERMAN, "en", 0.0),
        (ENGLISH, "en", 1.0),
        (ENGLISH, "de", 0.0),
        (ENGLISH, "fr", 0.0),
        (f"{GERMAN} {ENGLISH}", "de", 9 / 21),
        (f"{GERMAN}\n{CHINESE}", "de", 9 / 19),
        (CHINESE, "zh", 1.0),
        (CHINESE, "ja", 0.0),
        (JAPANESE, "ja", 1.0),
        (JAPANESE, "zh", 0.0),
        ("Сначала мы складываем единицы.", "ru", 1.0),
        ("Спочатку ми додаємо одиниці, а потім десятки.", "ru", 0.0),
        ("أولا نجمع الآحاد ثم العشرات.", "ar", 1.0),
        ("먼저 일의 자리를 더합니다.", "ko", 1.0),
        (CHINESE, "zh-CN", 1.0),
        ("", "en", 0.0),
        ("12 + 30 = 42", "en", 0.0),
    ],
)
def test_words_are_judged_by_script_then_by_sentence(text: str, language: str, share: float):
    assert target_language_share(text, language) == pytest.approx(share)


@pytest.mark.parametrize(
    "free",
    [
        "`for name in names`",
        "```python\nfor name in names: pass\n```",
        r"\frac{1}{2}",
        "$a + over$",
        "https://example.com/a/page",
        "someone@example.com",
        "/usr/share/doc/readme",
        "add_the_ones",
        "addTheOnes",
        "solve()",
        "Natalia",
        "New York City",
        "GPU",
        "B52 3x",
    ],
)
def test_what_is_in_no_language_does_not_count(free: str):
    assert target_language_share(f"我们先算 {free} 然后再说", "zh") == 1.0


@pytest.mark.parametrize(
    "disguised",
    [
        "We Add The Ones And Then We Add The Tens",
        "we_add the_ones and_then we_add the_tens so_it_is done_now " * 3,
        "weAdd theOnes andThen weAdd theTens soItIs doneNow " * 3,
    ],
)
def test_english_dressed_up_as_names_is_still_english(disguised: str):
    assert target_language_share(f"先算：{disguised}", "zh") < 0.5


def test_fragments_do_not_hide_a_language():
    fragments = ". ".join(
        f"{a} {b}" for a, b in zip(ENGLISH.split(), ENGLISH.split()[1:], strict=False)
    )
    assert target_language_share(fragments, "fr") < 0.2
    assert target_language_share("\n".join(ENGLISH.split() * 3), "de") < 0.2


@pytest.mark.parametrize(
    ("language", "said"), [("xx", "Known: ar"), ("German", "'de'"), ("", "no l")]
)
def test_an_unknown_language_is_one_clear_line(language: str, said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        target_language_share("text", language)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("language", ASKED)
def test_each_language_is_asked_for_in_itself(language: str):
    assert target_language_share(ASKED[language], language) == 1.0


def test_without_the_identifier_scripts_still_work():
    """Languages that own their script need nothing; German says what to install."""
    program = (
        "import sys; sys.modules['py3langid'] = None\n"
        "from palestra_language import target_language_share as share\n"
        "print(share('안녕 세상 hello', 'ko'))\n"
        "try: share('ein Satz', 'de')\n"
        "except Exception as exc: print(type(exc).__name__, exc)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[0] == str(2 / 3)
    assert "ConfigError" in done.stdout
    assert "pip install 'palestra[language]'" in done.stdout


def test_the_reward_tells_german_from_english():
    def item(completion: str, language: str | None) -> Scored:
        return Scored(messages=[], completion=completion, language=language, env_id="", task_id="")

    batch = [
        item(f"<think>{GERMAN}</think><answer>the answer</answer>", "de"),
        item(f"<think>{ENGLISH}</think><answer>die Antwort</answer>", "de"),
        item("<think></think><answer>ja</answer>", "de"),
        item(ENGLISH, None),
    ]
    assert [score.value for score in TargetLanguageReward().score(batch)] == [1.0, 0.0, 0.0, 1.0]


@settings(max_examples=50)
@given(st.text(max_size=300), st.sampled_from([*ASKED]))
def test_a_share_is_between_zero_and_one(text: str, language: str):
    assert 0 <= target_language_share(text, language) <= 1


@pytest.mark.parametrize(
    "hostile",
    [
        *("a b c d. " * 50_000, "一。" * 100_000, "Abc " * 100_000, "一 Abc " * 50_000),
        *("a@" * 100_000, "_" * 300_000, "7" * 1_000_000, "a\n" * 200_000, "\u202e\ud800" * 50_000),
    ],
    ids=range(9),
)
def test_hostile_text_is_judged_at_once(hostile: str):
    started = time.process_time()
    target_language_share(hostile, "fr")
    assert time.process_time() - started < 5
