"""The numbers that `target_language_share` is held to, on sentences that others wrote."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from tests.benchmarks import language_share as bench

RIGHT = 0.99
NEAR = 0.05


@pytest.mark.parametrize("language", bench.SENTENCES)
def test_sentences_of_one_language_are_in_it(language: str):
    assert len(bench.SENTENCES[language]) >= 100
    right, words = bench.monolingual(language)
    assert right >= RIGHT
    assert words >= 0.985  # the rest are English terms in the sentences, such as "null"


@pytest.mark.parametrize("language", bench.SENTENCES)
def test_sentences_of_the_others_are_not(language: str):
    others = [(k, s) for k, v in bench.SENTENCES.items() if k != language for s in v]
    shares = [bench.target_language_share(s, language) for _, s in others]
    assert sum(shares) / len(shares) < 0.02


@pytest.mark.parametrize("one", bench.SENTENCES)
def test_the_share_of_a_mixed_text_is_near_the_true_one(one: str):
    off = [e for other in bench.SENTENCES if other != one for e in bench.errors(one, other, 15)]
    assert sum(off) / len(off) <= 0.015
    assert sum(e <= NEAR for e in off) / len(off) >= 0.95


def test_words_mixed_within_a_sentence_are_told_by_their_script():
    draw = random.Random(3)
    for _ in range(50):
        russian = [w for s in draw.sample(bench.SENTENCES["ru"], 3) for w in s.split()]
        korean = [w for s in draw.sample(bench.SENTENCES["ko"], 3) for w in s.split()]
        russian = [w for w in russian if bench.counted(w) == 1 and not w.isascii()]
        korean = [w for w in korean if bench.counted(w) == 1 and not w.isascii()]
        mixed = [*russian, *korean]
        draw.shuffle(mixed)
        share = bench.target_language_share(" ".join(mixed), "ko")
        assert abs(share - len(korean) / len(mixed)) <= NEAR


@pytest.mark.slow
def test_the_command_prints_the_table():
    command = [sys.executable, bench.__file__, "--texts", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert all(f"\n{language} " in done.stdout for language in bench.SENTENCES)
    assert "within .05" in done.stdout
