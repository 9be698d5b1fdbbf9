"""No shape of the catalogue passes for R1's format; what is known to be open is open still."""

from __future__ import annotations

import pytest
from tests.graders.format.attacks import ATTACKS, OPEN

from palestra.rewards.format import is_strict


@pytest.mark.parametrize("completion", [a[2] for a in ATTACKS], ids=[a[0] for a in ATTACKS])
def test_the_shape_earns_nothing(completion: str):
    assert not is_strict(completion)


@pytest.mark.parametrize("completion", [a[2] for a in OPEN], ids=[a[0] for a in OPEN])
def test_what_the_docs_call_open_is_paid(completion: str):
    assert is_strict(completion)
