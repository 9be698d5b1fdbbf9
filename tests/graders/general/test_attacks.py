"""Every trick of the catalogue earns nothing, at once, and with a verdict."""

from __future__ import annotations

import time

import pytest
from tests.graders.general.attacks import ATTACKS, Trick

from palestra.plugins.registry import get_registry

SEEDS = range(12)


@pytest.mark.parametrize(
    ("env_id", "trick"),
    [(env_id, trick) for env_id, _, _, trick in ATTACKS],
    ids=[f"{env_id.split('/')[1]}: {name}" for env_id, name, _, _ in ATTACKS],
)
def test_the_trick_earns_nothing(env_id: str, trick: Trick):
    env = get_registry().make_env(env_id)
    for seed in SEEDS:
        env.reset(seed=seed)
        assert env.task is not None
        completion = trick(env.task)
        started, earned = time.perf_counter(), 0.0
        for _ in range(env.max_turns):
            _, reward, terminated, truncated, info = env.step(completion)
            earned += reward
            assert info["reward_valid"]
            if terminated or truncated:
                break
        assert earned == 0.0
        assert time.perf_counter() - started < 2
