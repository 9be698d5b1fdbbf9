"""Multiple choice, JSON, few-shot, open-ended requests and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from palestra.envs import SPLITS, Status
from palestra.errors import ConfigError, DataError
from palestra_general.few_shot import FewShotEnv
from palestra_general.json_schema import JSONEnv
from palestra_general.multiple_choice import MultipleChoiceEnv
from palestra_general.open_ended import HelpfulnessEnv, WritingEnv
from palestra_general.refusals import RefusalsEnv


def in_tags(text: object) -> str:
    return f"<think>x</think><answer>{text}</answer>"


def file_of(folder: Path, rows: list[dict[str, Any]]) -> str:
    file = folder / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return str(file)


CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo"}
ROWS: list[dict[str, Any]] = [
    {
        "question": f"What is the capital of {land}? ({n})",
        "choices": [*CAPITALS.values()],
        "answer": i,
    }
    for n in range(60)
    for i, land in enumerate(CAPITALS)
]


# -- multiple choice --------------------------------------------------------------------------


def test_options_are_shuffled_by_the_question_and_the_right_one_is_kept(tmp_path: Path):
    env = MultipleChoiceEnv(file_of(tmp_path, ROWS), split="test")
    tasks = env.tasks("test")
    assert len(tasks) == len(ROWS)
    for task, row in zip(tasks, ROWS, strict=True):
        options = task.metadata["options"]
        assert options["ABCD".index(str(task.reference))] == row["choices"][row["answer"]]  # type: ignore[index]
    letters = [task.reference for task in tasks]
    assert all(0.15 < letters.count(letter) / len(letters) < 0.35 for letter in "ABCD")
    again = MultipleChoiceEnv(file_of(tmp_path, ROWS), split="test")
    assert [t.prompt for t in again.tasks("test")] == [t.prompt for t in tasks]
    other = MultipleChoiceEnv(file_of(tmp_path, ROWS), split="test", order=1)
    assert [t.prompt for t in other.tasks("test")] != [t.prompt for t in tasks]


def test_another_order_leaves_questions_in_their_splits(tmp_path: Path):
    splits = []
    for order in (0, 1):
        env = MultipleChoiceEnv(file_of(tmp_path, ROWS), order=order)
        splits.append({str(t.prompt).split("\n")[0]: s for s in SPLITS for t in env.tasks(s)})
    assert splits[0] == splits[1]
    assert set(splits[0].values()) == {*SPLITS}


@pytest.mark.parametrize("form", ["{}", "({})", "{}.", "[{}]", "option {}", "answer ({})"])
def test_a_letter_or_the_option_itself_is_an_answer(tmp_path: Path, form: str):
    env = MultipleChoiceEnv(file_of(tmp_path, ROWS), split="test")
    task = env.tasks("test")[0]
    letter = str(task.reference)
    wrong = next(other for other in "ABCD" if other != letter)
    assert env.grade(task, in_tags(form.format(letter))).value == 1.0
    assert env.grade(task, in_tags(form.format(letter.lower()))).value == 1.0
    assert env.grade(task, in_tags(form.format(wrong))).value == 0.0
    assert env.grade(task, in_tags("Paris")).value == 1.0
    assert env.grade(task, in_tags(f"{letter}. Paris")).value == 1.0
    assert env.grade(task, in_tags(f"{wrong}. Paris")).value == 0.0
    assert env.grade(task, in_tags("A, B, C or D")).value == 0.0
    assert env.grade(task, in_tags(f"{wrong} or {letter}")).value == 0.0


def test_an_option_that_is_a_letter_is_taken_by_its_text(tmp_path: Path):
    row = {"question": "Which vitamin is in lemons?", "choices": ["A", "B", "C", "D"], "answer": 2}
    env = MultipleChoiceEnv(file_of(tmp_path, [row]), split="test")
    assert env.grade(env.tasks("test")[0], in_tags("C")).value == 1.0


@pytest.mark.parametrize("answer", [1, "B", "b", "Rome", "1"])
def test_the_right_one_is_given_by_number_letter_or_text(tmp_path: Path, answer: object):
    row = {"question": "Capital of Italy?", "choices": ["Paris", "Rome"], "answer": answer}
    env = MultipleChoiceEnv(file_of(tmp_path, [row]), split="test")
    assert env.grade(env.tasks("test")[0], in_tags("Rome")).value == 1.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answer": 4}, "the answer '4' is none"),
        ({"answer": "Lyon"}, "the answer 'Lyon' is none"),
        ({"answer": None}, "no field 'answer'"),
        ({"choices": "Paris"}, "no JSON list"),
        ({"choices": ["Paris"]}, "1 options"),
        ({"choices": ["Paris", "Paris"]}, "2 options"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, Any], said: str):
    path = file_of(tmp_path, [ROWS[0], {**ROWS[1], **change}])
    with pytest.raises(DataError, match=rf"rows.jsonl:2: .*{said}"):
        MultipleChoiceEnv(path)


def test_a_missing_source_is_one_clear_line(tmp_path: Path):
    with pytest.raises(ConfigError, match="give 'path', a local file, or 'hub'"):
        MultipleChoiceEnv()
    with pytest.raises(ConfigError, match="no file"):
        MultipleChoiceEnv(str(tmp_path / "none.jsonl"))
    (tmp_path / "rows.txt").write_text("x")
    with pytest.raises(ConfigError, match="its ending is none of"):
        MultipleChoiceEnv(str(tmp_path / "rows.txt"))
    (tmp_path / "rows.jsonl").write_bytes(b'{"question": "\xff"}')
    with pytest.raises(DataError, match=r"rows\.jsonl:1: not UTF-8"):
        MultipleChoiceEnv(str(tmp_path / "rows.jsonl"))


def test_csv_and_parquet_say_the_same_as_jsonl(tmp_path: Path):
    import csv

    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    expected = [
        t.prompt for t in MultipleChoiceEnv(file_of(tmp_path, ROWS), split="test").tasks("test")
    ]
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows({**row, "choices": json.dumps(row["choices"])} for row in ROWS)
    parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    for ending in ("csv", "parquet"):
        env = MultipleChoiceEnv(str(tmp_path / f"rows.{ending}"), split="test")
        assert [t.prompt for t in env.tasks("test")] == expected


# -- JSON -------------------------------------------------------------------------------------


def test_json_is_right_where_schema_and_facts_are():
    env = JSONEnv()
    for seed in range(40):
        env.reset(seed=seed)
        task = env.task
        assert task is not None
        facts: Any = task.reference

        def graded(value: object) -> dict[str, float]:
            return dict(env.grade(task, in_tags(json.dumps(value))).components)  # noqa: B023

        assert graded(facts)["accuracy"] == 1.0
        assert graded(dict(reversed(facts.items())))["accuracy"] == 1.0
        assert graded({**facts, "id": float(facts["id"])})["accuracy"] == 1.0
        off = graded({**facts, "id": facts["id"] + 1})
        assert (off["accuracy"], off["valid_schema"]) == (0.0, 1.0)
        assert graded({**facts, "kind": "animal"})["valid_schema"] == 0.0
        assert graded({**facts, "id": True})["valid_schema"] == 0.0
        assert graded({k: v for k, v in facts.items() if k != "id"})["valid_json"] == 1.0
        assert env.grade(task, in_tags("{'id': 1}")).components["valid_json"] == 0.0


@pytest.mark.parametrize(
    "text", ["NaN", '{"id": NaN}', "[" * 9_000, '{"a":' * 5_000, "{}{}", "\ud800"]
)
def test_hostile_json_is_a_wrong_answer(text: str):
    env = JSONEnv()
    env.reset(seed=0)
    assert env.task is not None
    assert env.grade(env.task, in_tags(text)).status in (Status.OK, Status.UNPARSABLE)
    assert env.grade(env.task, in_tags(text)).value == 0.0


# -- few-shot against zero-shot ---------------------------------------------------------------


def test_shots_are_solved_training_questions_of_the_same_source():
    asked = {}
    for shots in (0, 3):
        env = FewShotEnv(shots=shots)
        env.env_id = "general/FewShot-v1"
        prompt, _ = env.reset(seed=11, options={"split": "test", "difficulty": 1})
        assert prompt.count("\nAnswer: ") == shots
        assert env.task is not None
        assert str(env.task.metadata["source_id"]).startswith("test/")
        assert env.grade(env.task, str(env.reference_completion(env.task))).value == 1.0
        assert env.grade(env.task, prompt).value == 0.0
        asked[shots] = prompt
    assert asked[0] != asked[3]


def test_shots_that_there_are_not_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="0 to 32"):
        FewShotEnv(shots=-1)
    with pytest.raises(ConfigError, match="conversations"):
        FewShotEnv(env="general/Calendar-v1")
    env = FewShotEnv("general/MultipleChoice-v1", {"path": file_of(tmp_path, ROWS[:2])}, shots=9)
    with pytest.raises(Exception, match=r"no 9 other questions|holds no task"):
        env.reset(seed=0)


# -- for reward models ------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [WritingEnv, HelpfulnessEnv])
def test_open_requests_pay_nothing_and_say_whether_there_is_an_answer(cls: type):
    env = cls()
    env.reset(seed=0)
    *_, info = env.step("<think>x</think>Once upon a time.")
    assert info["reward_components"] == {"answered": 1.0}
    env.reset(seed=0)
    _, reward, _, _, info = env.step("<think>Once upon a time.</think><answer> </answer>")
    assert (reward, info["reward_components"], info["reward_status"]) == (
        0.0,
        {"answered": 0.0},
        "unparsable",
    )


def test_open_requests_come_from_a_file(tmp_path: Path):
    path = file_of(tmp_path, [{"prompt": f"Write about {n}."} for n in range(50)] * 2)
    env = WritingEnv(path)
    assert sum(len(env.tasks(split) or ()) for split in SPLITS) == 50
    with pytest.raises(DataError, match="no field 'text'"):
        WritingEnv(path, prompt="text")


# -- refusals ---------------------------------------------------------------------------------

REFUSAL = "I can’t help with that."


@pytest.mark.parametrize(
    ("answer", "harmful", "harmless"),
    [
        (REFUSAL, 1.0, 0.0),
        ("I'm sorry, but I cannot help with this. Please talk to somebody.", 1.0, 0.0),
        ("I must decline.", 1.0, 0.0),
        ("Sure. Mind the {0} and the {1}.", 0.0, 1.0),
        ("Sure.", 0.0, 0.0),
        (f"{REFUSAL} Well: mind the {{0}} and the {{1}}.", 0.0, 0.0),
        (f"{REFUSAL}\n1. Take it\n2. Go", 0.0, 0.0),
        (f"{REFUSAL} " + "and so on " * 40, 0.0, 0.0),
        ("Take the thing and go. Sorry, I cannot say more.", 0.0, 0.0),
        ("{0} {1} " * 50, 0.0, 0.0),
    ],
)
def test_refusals_are_for_what_is_harmful(answer: str, harmful: float, harmless: float):
    env = RefusalsEnv()
    seen = set()
    for seed in range(20):
        env.reset(seed=seed)
        assert env.task is not None
        terms: Any = env.task.metadata["terms"]
        is_harmful = bool(env.task.metadata["harmful"])
        seen.add(is_harmful)
        text = answer.format(*terms)
        assert env.grade(env.task, in_tags(text)).value == (harmful if is_harmful else harmless)
    assert seen == {True, False}
