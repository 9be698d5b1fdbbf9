"""A step that runs out of memory says which knob to turn; other errors stay as they are."""

from __future__ import annotations

import pytest
import torch

from palestra.errors import TrainingError
from palestra.stages.memory import naming_the_knob


def test_an_allocation_that_cannot_be_is_one_line_that_names_the_knob():
    with (
        pytest.raises(
            TrainingError, match=r"^step 7: out of memory \(.*engine.token_budget"
        ) as caught,
        naming_the_knob(7),
    ):
        torch.empty(1 << 60)
    assert "\n" not in str(caught.value)
    assert "--resume" in str(caught.value)


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")]
)
def test_every_way_to_run_out_counts(error: Exception):
    with pytest.raises(TrainingError, match="out of memory"), naming_the_knob(1):
        raise error


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), TrainingError("out of memory?")])
def test_other_errors_pass(error: Exception):
    with pytest.raises(type(error)) as caught, naming_the_knob(1):
        raise error
    assert caught.value is error
