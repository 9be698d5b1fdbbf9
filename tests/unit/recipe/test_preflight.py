"""What a run tries before it begins: references, and the overlap with its evaluations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from palestra.errors import DataError
from palestra.grading.isolation import close_workers
from palestra.plugins.registry import reset_registry
from palestra.recipe.config import Recipe, load_recipe
from palestra.recipe.preflight import audit, try_sources

PLUGIN = """
from palestra import SingleTurnEnv, Task, environment, single_turn

@single_turn("mine/Stubborn-v1", grade=lambda task, completion: 0.0)
def stubborn(rng, difficulty):
    a = int(rng.integers(10**6))
    return Task(prompt=f"{a}+1=", reference=str(a + 1))

@environment("mine/Leaky-v1")
class Leaky(SingleTurnEnv):
    def tasks(self, split):
        return [Task(prompt=f"What is {i}+1?", reference=str(i + 1)) for i in range(20)]
"""

RECIPE = """
model: tiny
plugins: [./mine.py]
mixtures: {{own: {{sources: [{{env: {train}}}]}}}}
stages:
  zero:
    type: rl
    init_from: base
    mixture: own
    steps: 4
    prompts_per_step: 8
    group_size: 2
    sampling: {{max_tokens: 8}}
    optim: {{learning_rate: 1.0e-4}}
    eval: {{envs: [{test}], questions: 10, samples: 1}}
"""


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    reset_registry()
    yield
    close_workers()
    reset_registry()


def recipe(folder: Path, train: str, test: str) -> Recipe:
    (folder / "mine.py").write_text(PLUGIN)
    (folder / "own.yaml").write_text(RECIPE.format(train=train, test=test))
    return load_recipe(folder / "own.yaml")


def test_a_grader_that_refuses_its_own_reference_stops_the_run(tmp_path: Path) -> None:
    loaded = recipe(tmp_path, "mine/Stubborn-v1", "math/Arithmetic-v1")
    with pytest.raises(DataError, match=r"own\.yaml:4 .*mine/Stubborn-v1 refuses its own ref"):
        try_sources(loaded, ["zero"])


def test_a_question_that_is_trained_on_stops_the_run(tmp_path: Path) -> None:
    loaded = recipe(tmp_path, "mine/Leaky-v1", "mine/Leaky-v1")
    try_sources(loaded, ["zero"])
    with pytest.raises(DataError, match=r"own\.yaml:\d+ .*of its 10 questions are training prom"):
        audit(loaded, ["zero"])


def test_sound_sources_pass_and_the_audit_says_so(tmp_path: Path) -> None:
    loaded = recipe(tmp_path, "math/Arithmetic-v1", "math/Arithmetic-v1")
    try_sources(loaded, ["zero"])
    (found,) = audit(loaded, ["zero"])
    assert (found.questions, found.identical, found.shared) == (10, 0, 0)


SFT = """\
model: tiny
eval: {{envs: [{{env: math/Dataset-v1, split: test, kwargs: {kwargs}}}], questions: 9}}
stages:
  sft:
    type: sft
    init_from: base
    data: [{{file: {data}}}]
    steps: 1
    batch_size: 2
    optim: {{learning_rate: 1.0e-4}}
"""


@pytest.mark.parametrize("place", [0, 7_000])  # behind the first thousands, too
def test_an_sft_file_that_holds_an_evaluation_question_stops_the_run(
    tmp_path: Path, place: int
) -> None:
    test = [{"question": f"How many are {i} and {i}?", "answer": str(2 * i)} for i in range(9)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in test))
    rows = [{"prompt": f"Say {i}.", "completion": str(i)} for i in range(7_500)]
    rows[place] = {"prompt": " how many are 4  and 4?", "completion": "8"}
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kwargs = json.dumps({"path": "test.jsonl", "split": "test"})
    (tmp_path / "own.yaml").write_text(SFT.format(kwargs=kwargs, data="train.jsonl"))
    loaded = load_recipe(tmp_path / "own.yaml")
    with pytest.raises(DataError) as error:
        audit(loaded, ["sft"])
    (line,) = str(error.value).splitlines()
    assert re.search(r"own\.yaml:2 .*1 of its 9 questions are training prompts, as 'How many", line)
    rows[place] = rows[1]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (found,) = audit(load_recipe(tmp_path / "own.yaml"), ["sft"])
    assert found.identical == 0


PREFERENCES = """\
model: tiny
stages:
  preferences: {{type: reward_model, init_from: base, data: [{{file: {data}}}], steps: 1,
                optim: {{learning_rate: 1.0e-4}}}}
  asked: {{type: evaluate, init_from: base,
          eval: {{envs: [{{env: math/Dataset-v1, split: test, kwargs: {kwargs}}}], questions: 9}}}}
"""


def test_preferences_that_hold_an_evaluation_question_stop_the_run(tmp_path: Path) -> None:
    test = [{"question": f"How many are {i} and {i}?", "answer": str(2 * i)} for i in range(9)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in test))
    kwargs = json.dumps({"path": "test.jsonl", "split": "test"})
    data = tmp_path / "preferences.jsonl"
    (tmp_path / "own.yaml").write_text(PREFERENCES.format(kwargs=kwargs, data=data))
    pairs = [{"prompt": f"Say {i}.", "chosen": "yes", "rejected": "no"} for i in range(20)]
    data.write_text("".join(json.dumps(row) + "\n" for row in pairs))
    loaded = load_recipe(tmp_path / "own.yaml")
    (found,) = audit(loaded, ["preferences", "asked"])
    assert (found.questions, found.identical) == (9, 0)
    pairs[7]["prompt"] = "How many are 3 and 3?"
    data.write_text("".join(json.dumps(row) + "\n" for row in pairs))
    with pytest.raises(DataError, match="1 of its 9 questions are training prompts, as 'How many"):
        audit(loaded, ["preferences", "asked"])
