"""A process that is gone is told in one line; any other error stays what it is."""

from __future__ import annotations

import pytest

from palestra.errors import TrainingError
from palestra.stages.lost import naming_a_lost_process

GLOO = (
    "[/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:36023"
)


def test_a_broken_connection_is_told_and_what_goes_on():
    with (
        pytest.raises(TrainingError, match=r"run's 4 processes is gone.*Connection closed.*resume"),
        naming_a_lost_process(4),
    ):
        raise RuntimeError(GLOO)


@pytest.mark.parametrize(
    ("processes", "error"),
    [
        (1, RuntimeError(GLOO)),
        (2, RuntimeError("shapes do not match")),
        (2, TrainingError("NaN; connection closed by peer")),
        (2, ValueError("connection closed by peer")),
    ],
)
def test_other_errors_pass(processes: int, error: Exception):
    with pytest.raises(type(error)) as raised, naming_a_lost_process(processes):
        raise error
    assert raised.value is error
