"""`language/Consistency-v1`: a right answer pays as much as its thoughts are in the language."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from palestra.envs import SPLITS, Task
from palestra.envs.drawn import KEPT, LastDrawn
from palestra.errors import ConfigError, NotFound
from palestra_language.consistency import ASKED, ConsistencyEnv


def made(**kwargs: object) -> ConsistencyEnv:
    env = ConsistencyEnv(**kwargs)  # type: ignore[arg-type]
    env.env_id = "language/Consistency-v1"
    return env


def test_the_reward_is_the_answer_times_the_share():
    env = made(languages=["de"])
    env.reset(seed=1)
    assert env.task is not None
    task, right = env.task, env.task.reference
    german = "Ich rechne zuerst das eine und danach das andere."
    english = "I compute the one thing first and the other thing then."

    def graded(thoughts: str, answer: object) -> tuple[float, dict[str, float]]:
        score = env.grade(task, f"<think>{thoughts}</think><answer>{answer}</answer>")
        return score.value, dict(score.components)

    assert graded(german, right)[0] == 1.0
    value, components = graded(english, right)
    assert (value, components["accuracy"], components["language_share"]) == (0.0, 1.0, 0.0)
    assert graded(german, "no idea")[0] == 0.0
    assert 0.3 < graded(f"{german} {english}", right)[0] < 0.6
    assert graded("", right)[0] == 0.0


@pytest.mark.parametrize("language", ASKED)
def test_every_language_has_a_reference_that_earns_one(language: str):
    env = made(languages=language)
    for seed in range(5):
        env.reset(seed=seed)
        assert env.task is not None
        assert env.task.language == language
        assert ASKED[language] in env.task.messages[-1]["content"]
        assert env.grade(env.task, str(env.reference_completion(env.task))).value == 1.0


def test_the_reference_is_the_sources_working_where_it_has_words_for_the_language():
    env = made(env="math/Arithmetic-v1", languages=["zh", "de"])
    written: dict[str, str] = {}
    for seed in range(20):
        env.reset(seed=seed)
        assert env.task is not None
        written[str(env.task.language)] = str(env.reference_completion(env.task))
    assert "个位" in written["zh"]
    assert written["de"].startswith("<think>Ich löse die Aufgabe")


def test_a_question_keeps_the_split_that_its_source_has_it_in():
    env = made()
    for split in SPLITS:
        for seed in range(30):
            env.reset(seed=seed, options={"split": split})
            assert env.task is not None
            assert str(env.task.metadata["source_id"]).startswith(f"{split}/")


def test_questions_of_a_file_stay_a_list(tmp_path: Path):
    file = tmp_path / "questions.jsonl"
    rows = [{"question": f"What is {n} + {n}?", "answer": 2 * n} for n in range(40)]
    file.write_text("\n".join(map(json.dumps, rows)))
    env = made(env="math/Dataset-v1", env_kwargs={"path": str(file)})
    listed = [task for split in SPLITS for task in env.tasks(split) or ()]
    assert len(listed) == 40
    assert {task.language for task in listed} > {"de", "zh"}
    assert all(env.grade(t, str(env.reference_completion(t))).value == 1.0 for t in listed)


@pytest.mark.parametrize(
    ("kwargs", "error", "said"),
    [
        ({"languages": ["klingon"]}, ConfigError, "no language 'klingon'"),
        ({"languages": ["fi"]}, ConfigError, r"not \['fi'\]"),
        ({"languages": []}, ConfigError, "languages are of"),
        ({"env": "math/Arithmetik-v1"}, NotFound, "Did you mean"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(kwargs: dict[str, object], error: type, said: str):
    with pytest.raises(error, match=said):
        made(**kwargs)


def test_a_group_resets_to_the_task_of_one_draw() -> None:
    drawn: list[int] = []

    class Counted(ConsistencyEnv):
        def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
            drawn.append(difficulty)
            return super().sample(rng, difficulty)

    env = Counted(languages=["en", "zh"])
    options = {"split": "test", "index": 3}
    first, info = env.reset(options=options)
    assert env.task is not None
    draws = len(drawn)
    env.task.metadata["noted"] = "by a grader"
    other = copy.copy(env)
    assert other.reset(options=options) == (first, info)
    assert len(drawn) == draws
    assert other.task is not None
    assert "noted" not in other.task.metadata


def test_what_was_not_asked_for_the_longest_is_forgotten() -> None:
    kept = LastDrawn()
    for number in range(KEPT):
        kept.keep((number,), Task(prompt=str(number)))
    assert kept.get((0,)) is not None
    kept.keep((KEPT,), Task(prompt="one too many"))
    assert kept.get((0,)) is not None
    assert kept.get((1,)) is None
