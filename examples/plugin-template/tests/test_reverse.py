"""Run with the package installed: `pip install -e '.[test]'`, then `pytest`."""

import pytest

from palestra.plugins.registry import get_registry
from palestra.testing import check_environment

ENVIRONMENTS = ["example/Reverse-v1"]


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_environment_keeps_the_contract(env_id):
    check_environment(env_id)


def test_a_guess_earns_nothing():
    env = get_registry().make_env("example/Reverse-v1")
    env.reset(seed=3)
    assert env.step("<answer>no idea</answer>")[1] == 0.0
