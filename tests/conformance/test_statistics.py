"""The exact test of a guess, against scipy's definition worked out by hand and by simulation."""

from __future__ import annotations

import random
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palestra.conformance.statistics import at_least, beats_chance


@given(st.integers(1, 60), st.data())
def test_the_tail_is_the_exact_binomial(trials: int, data: st.DataObject):
    hits = data.draw(st.integers(0, trials))
    chance = data.draw(st.fractions(0, 1, max_denominator=50))
    exact = sum(
        (
            comb(trials, k) * chance**k * (1 - chance) ** (trials - k)
            for k in range(hits, trials + 1)
        ),
        Fraction(0),
    )
    assert at_least(hits, trials, float(chance)) == pytest.approx(float(exact), abs=1e-9)


def test_a_panel_of_fair_guesses_is_rarely_blamed():
    generator = random.Random(7)
    blamed = 0
    for _ in range(300):
        panel = [[float(generator.random() < 0.25) for _ in range(200)] for _ in range(10)]
        blamed += any(beats_chance(shares, 0.25, len(panel)) for shares in panel)
    assert blamed <= 3  # 0.3 expected


@pytest.mark.parametrize(
    ("hits", "chance", "beaten"),
    [(3, 0.0, False), (12, 0.0, True), (60, 0.25, False), (95, 0.25, True), (100, 0.5, False)],
)
def test_two_hundred_tasks_tell_luck_from_a_leak(hits: int, chance: float, beaten: bool):
    shares = [1.0] * hits + [0.0] * (200 - hits)
    assert beats_chance(shares, chance, 17) is beaten


def test_halves_are_added_up():
    assert beats_chance([0.5] * 200, 0.25, 1)
    assert not beats_chance([0.5] * 200, 0.5, 1)
    assert not beats_chance([], 0.0, 1)
