"""Phases of a step add up to it, however they lie within each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from palestra.stages.clock import StepClock
from palestra.stages.measures import TIMES, add_speeds


class Hand:
    """A clock that stands still between calls of `go`."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at

    def go(self, seconds: float) -> None:
        self.at += seconds


def test_a_phase_within_another_stops_the_outer_one() -> None:
    hand = Hand()
    clock = StepClock(hand)
    with clock("grade"):
        hand.go(1)
        with clock("generate"):
            hand.go(10)
        hand.go(2)
    hand.go(50)  # in no phase
    with clock("sync"):
        hand.go(4)
    assert clock.take() == {"seconds/generate": 10, "seconds/grade": 3, "seconds/sync": 4}
    assert clock.take() == {}


def test_a_phase_that_raises_is_over() -> None:
    hand = Hand()
    clock = StepClock(hand)

    def fail() -> None:
        hand.go(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        clock.timed("grade", fail)()
    hand.go(5)
    assert clock.take() == {"seconds/grade": 1}


def test_waiting_for_items_is_charged_and_using_them_is_not() -> None:
    hand = Hand()
    clock = StepClock(hand)
    closed: list[bool] = []

    def slow() -> Iterator[int]:
        try:
            for i in range(5):
                hand.go(1)
                yield i
        finally:
            closed.append(True)

    with clock("grade"):
        for item in clock.over("generate", slow()):
            hand.go(10)
            if item == 2:
                break
    assert clock.take() == {"seconds/generate": 3, "seconds/grade": 30}
    assert closed == [True]  # what was not taken is dropped


def test_what_another_thread_does_meanwhile_is_not_charged() -> None:
    hand = Hand()
    clock = StepClock(hand)

    def beside() -> None:
        with clock("generate"):
            hand.go(10)

    with clock("grade"):
        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()
        hand.go(1)
    assert clock.take() == {"seconds/grade": 11}


def test_a_rows_rates_are_of_the_time_they_name() -> None:
    row = {
        "tokens_generated": 1000,
        "tokens_trained": 600.0,
        "flops/generate": 2e9,
        "flops/train": 6e9,
        "seconds/generate": 2.0,
        "seconds/backward": 3.0,
        "seconds/grade": 1.0,
    }
    add_speeds(row, 8.0, 1e10)
    phases = [v for k, v in row.items() if k.startswith("seconds/")]
    assert sum(phases) == row["seconds"] == 8.0
    assert row["seconds/other"] == 2.0
    assert row["speed/tokens"] == 125
    assert row["speed/generated"] == 500
    assert row["speed/trained"] == 200
    assert row["speed/mfu_generate"] == pytest.approx(0.1)
    assert row["speed/mfu_train"] == pytest.approx(0.2)
    assert row["speed/mfu"] == pytest.approx(0.1)
    assert {k for k in row if not k.startswith(TIMES)} == {
        "tokens_generated",
        "tokens_trained",
        "flops/generate",
        "flops/train",
    }


def test_a_row_without_counts_has_its_seconds_only() -> None:
    row: dict[str, float] = {"loss": 1.0}
    add_speeds(row, 2.0, 1e10)
    assert row == {"loss": 1.0, "seconds": 2.0, "seconds/other": 2.0}
