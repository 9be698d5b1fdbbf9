"""Run with the package installed: `pip install -e '.[test]'`, then `pytest`."""

import datetime

import pytest

from palestra.plugins.registry import get_registry
from palestra.testing import conformance

test_weekday = conformance("calendar/Weekday-v1")


@pytest.fixture
def env():
    return get_registry().make_env("calendar/Weekday-v1")


@pytest.mark.parametrize("level", [1, 2, 3, 4])
@pytest.mark.parametrize("language", ["en", "de"])
def test_every_level_in_both_languages(env, level, language):
    for seed in range(20):
        env.reset(seed=seed, options={"difficulty": level, "language": language})
        task = env.task
        for cheat in env.probes(task):
            assert env.grade(task, cheat).value == 0.0
        assert env.step(env.reference_completion(task))[1] == 1.0


def test_the_reference_agrees_with_the_calendar(env):
    env.reset(seed=5, options={"difficulty": 4, "language": "en"})
    task = env.task
    asked = datetime.date.fromisoformat(task.prompt.rstrip("?").split()[-1])
    assert task.reference == asked.strftime("%A")


def test_german_has_two_words_for_saturday(env):
    seeds = range(200)
    options = {"difficulty": 1, "language": "de"}
    saturday = next(
        s for s in seeds if env.reset(seed=s, options=options) and env.task.reference == "Samstag"
    )
    env.reset(seed=saturday, options=options)
    assert env.step("<answer>Sonnabend</answer>")[1] == 1.0
