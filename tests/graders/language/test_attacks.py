"""No trick of the catalogue passes another language off as the one asked for."""

from __future__ import annotations

import pytest
from tests.graders.language.attacks import ATTACKS

from palestra_language import target_language_share

MOST = 0.2
"""What is left to a trick: some of its words may be the language's."""


@pytest.mark.parametrize(
    ("language", "text"), [a[2:] for a in ATTACKS], ids=[a[0] for a in ATTACKS]
)
def test_the_trick_earns_next_to_nothing(language: str, text: str):
    assert target_language_share(text, language) <= MOST
