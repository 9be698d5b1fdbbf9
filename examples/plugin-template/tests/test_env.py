"""Run with the package installed: `pip install -e '.[test]'`, then `pytest`."""

from palestra.plugins.registry import get_registry
from palestra.testing import conformance

test_example = conformance("example/Example-v1")  # one test for each check of Palestra's


def test_the_word_as_it_stands_earns_nothing() -> None:
    env = get_registry().make_env("example/Example-v1")
    observation, _ = env.reset(seed=3)
    word = observation.split()[1]
    _, reward, terminated, _, info = env.step(f"<answer>{word}</answer>")
    assert (reward, terminated, info["extracted_answer"]) == (0.0, True, word)
