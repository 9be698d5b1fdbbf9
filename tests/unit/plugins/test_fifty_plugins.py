"""Fifty plugins, five of them broken and five heavy: one look is right about all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.benchmarks.plugins_ls import COLD_S, list_plugins, make_site


@pytest.mark.slow
def test_fifty_states_are_right_after_one_look(tmp_path: Path):
    site = tmp_path / "site"
    site.mkdir()
    wanted = make_site(site)
    assert len(wanted) == 50
    states, first_s = list_plugins(site, tmp_path / "cache")
    assert {name: states.get(name) for name in wanted} == wanted
    again, again_s = list_plugins(site, tmp_path / "cache")
    assert again == states
    assert first_s < 2 * COLD_S, "twice the aim: the machine may be busy"
    assert again_s < first_s / 5
