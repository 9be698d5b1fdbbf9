"""`math/Arithmetic-v1` against arithmetic done anew, and `math/Dataset-v1` on files of all kinds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from gymnasium.utils.env_checker import check_env

from palestra.envs import SPLITS, SingleTurnEnv, split_of
from palestra.errors import ConfigError, DataError
from palestra.rewards.format import is_strict
from palestra.rewards.language import chain_of_thought, language_share
from palestra_math.arithmetic import ArithmeticEnv
from palestra_math.dataset import DatasetEnv

SHARED = Path(__file__).parents[4] / "shared" / "data"
ASKED = re.compile(r"(\d+)([-+*])(\d+)")
PROMPTS = {
    "en": r"(What is .+\?|Calculate .+\.|How much is .+\?)",
    "zh": r"(.+等于多少？|计算.+。|.+是多少？)",
}
DIGITS = {1: (2, 1), 2: (2, 2), 3: (3, 3), 4: (2, 1), 5: (3, 1)}


def answer(text: object) -> str:
    return f"<think>x</think><answer>{text}</answer>"


def drawn(level: int, language: str, count: int = 120) -> list[ArithmeticEnv]:
    envs = []
    for seed in range(count):
        env = ArithmeticEnv()
        env.env_id = "math/Arithmetic-v1"
        env.reset(
            seed=seed,
            options={"difficulty": level, "language": language, "split": SPLITS[seed % 3]},
        )
        envs.append(env)
    return envs


def value_of(prompt: str) -> int:
    found = ASKED.search(prompt)
    assert found is not None
    a, op, b = int(found[1]), found[2], int(found[3])
    return {"+": a + b, "-": a - b, "*": a * b}[op]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("level", DIGITS)
def test_prompts_references_and_worked_solutions_are_right(level: int, language: str):
    operators = set()
    for env in drawn(level, language):
        assert env.task is not None
        task, prompt = env.task, str(env.task.prompt)
        assert re.fullmatch(PROMPTS[language], prompt)
        found = ASKED.search(prompt)
        assert found is not None
        operators.add(found[2])
        lengths = sorted((len(found[1]), len(found[3])), reverse=True)
        assert tuple(lengths) <= DIGITS[level]
        assert int(str(task.reference)) == value_of(prompt) >= 0
        completion = env.reference_completion(task)
        thoughts = chain_of_thought(completion)
        assert is_strict(completion)
        assert language_share(thoughts, language) == 1.0
        worked = re.findall(r"([-+*\d]+)=(\d+)", thoughts)
        assert len(worked) == max(len(found[1]), len(found[3]))
        for expression, result in worked:
            assert re.fullmatch(r"\d+(?:[-+*]\d+)*", expression)
            assert eval(expression) == int(result)
        digits = "".join(r[-1] for _, r in reversed(worked[:-1]))
        assert int(worked[-1][1] + digits) == int(str(task.reference))
        assert env.step(completion)[1] == 1.0
    assert operators == ({"*"} if level >= 4 else {"+", "-"})


@pytest.mark.parametrize("level", DIGITS)
def test_wrong_answers_earn_nothing(level: int):
    for env in drawn(level, "en", 30):
        assert env.task is not None
        right = int(str(env.task.reference))
        for wrong in (
            right + 1,
            -right - 1,
            f"{right}{right}",
            "",
            "none",
            f"{right} {right}",
            f"{right}*1",
        ):
            assert env.grade(env.task, answer(wrong)).components["accuracy"] == 0.0
        assert env.grade(env.task, f"<think><answer>{right}</answer></think>").value == 0.0
        assert env.grade(env.task, "").status == "unparsable"


@pytest.mark.parametrize("form", ["{}", " {} ", "{}.", "{}.0", "+{}", "{:,}"])
def test_a_right_answer_may_be_written_as_people_do(form: str):
    for env in drawn(5, "en", 10):
        assert env.task is not None
        assert env.grade(env.task, answer(form.format(int(str(env.task.reference))))).value == 1.0


def test_lenient_accuracy_takes_the_last_number_anywhere():
    (env,) = drawn(3, "en", 1)
    assert env.task is not None
    score = env.grade(env.task, f"I think of 7, so it is {env.task.reference}")
    assert (score.value, score.components["lenient_accuracy"]) == (0.0, 1.0)
    score = env.grade(env.task, f"{env.task.reference}, or rather 7")
    assert score.components["lenient_accuracy"] == 0.0


def test_levels_get_harder_to_write():
    lengths = []
    for level in DIGITS:
        texts = [env.reference_completion(env.task) for env in drawn(level, "en", 60) if env.task]
        lengths.append(sum(map(len, texts)) / len(texts))
    assert lengths[0] < lengths[2]
    assert lengths[3] < lengths[4]


def test_both_languages_are_asked_by_default():
    languages = []
    for seed in range(200):
        env = ArithmeticEnv()
        languages.append(env.reset(seed=seed)[1]["language"])
    assert 0.35 < languages.count("zh") / 200 < 0.65


def test_arithmetic_passes_gymnasiums_checker():
    check_env(ArithmeticEnv(), skip_render_check=True)


# --- Dataset-v1 ------------------------------------------------------------------------------


def jsonl(tmp_path: Path, *rows: Any) -> str:
    file = tmp_path / "data.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


def rows(count: int = 200) -> list[dict[str, str]]:
    return [{"question": f"What is {i} plus 1?", "answer": str(i + 1)} for i in range(count)]


def play(env: SingleTurnEnv, completion: str, **options: Any) -> tuple[float, dict[str, Any]]:
    env.reset(seed=0, options=options)
    _, reward, _, _, info = env.step(completion)
    return reward, info


def test_every_row_is_in_the_split_of_its_question(tmp_path: Path):
    env = DatasetEnv(jsonl(tmp_path, *rows()))
    seen = []
    for split in SPLITS:
        for task in env.tasks(split):
            assert split_of(task.prompt_hash) == split
            seen.append(str(task.prompt))
    assert sorted(seen) == sorted(r["question"] for r in rows())


def test_every_row_can_be_asked_and_grades_its_own_answer(tmp_path: Path):
    env = DatasetEnv(jsonl(tmp_path, *rows(60)))
    for split in SPLITS:
        for index, task in enumerate(env.tasks(split)):
            observation, info = env.reset(options={"split": split, "index": index})
            assert observation == task.prompt
            n = int(re.findall(r"\d+", observation)[0])
            assert env.step(answer(n + 1))[1] == 1.0
            again = DatasetEnv(jsonl(tmp_path, *rows(60)))
            assert again.reset(options={"task_id": info["task_id"]})[0] == observation
            assert again.step(answer(n + 2))[1] == 0.0


def test_a_whole_file_can_be_one_split(tmp_path: Path):
    env = DatasetEnv(jsonl(tmp_path, *rows(30)), split="test")
    assert [len(env.tasks(s)) for s in SPLITS] == [0, 0, 30]


def test_a_limit_takes_the_first_rows(tmp_path: Path):
    env = DatasetEnv(jsonl(tmp_path, *rows(30)), split="test", limit=7)
    assert [t.prompt for t in env.tasks("test")] == [r["question"] for r in rows(7)]


def test_columns_are_the_users(tmp_path: Path):
    file = jsonl(tmp_path, {"problem": "1+1?", "gold": 2, "other": None})
    env = DatasetEnv(file, question="problem", answer="gold", split="train", language="en")
    assert play(env, answer("2"))[0] == 1.0
    assert env.reset(seed=0)[1]["language"] == "en"


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        ("Natalia sold 48/2 = <<48/2=24>>24 clips.\n#### 72", "72", "24"),
        ("#### 1,234", "1234", "1"),
        ("#### -5", "-5", "5"),
        ("3.50", "3.5", "3"),
        ("Paris", "paris", "London"),
    ],
)
def test_of_a_worked_answer_what_follows_the_hashes_counts(
    gold: str, right: str, wrong: str, tmp_path: Path
):
    env = DatasetEnv(jsonl(tmp_path, {"question": "q", "answer": gold}), split="train")
    reward, info = play(env, answer(right))
    assert (reward, info["extracted_answer"]) == (1.0, right)
    assert play(env, answer(wrong))[0] == 0.0
    assert play(env, f"so it is {right}")[1]["reward_components"] == {
        "accuracy": 0.0,
        "lenient_accuracy": float(not right.isalpha()),
    }


def test_blank_lines_are_passed_over_and_lines_still_counted(tmp_path: Path):
    file = jsonl(tmp_path, "", rows()[0], "  ", {"question": "x"})
    with pytest.raises(DataError, match=r"data\.jsonl:4: no field 'answer'"):
        DatasetEnv(file)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"qestion": "x", "answer": "1"},
            r":2: no field 'question'.*Did you mean 'qestion'.*qestion, answer",
        ),
        ({"question": "x", "answr": "1"}, r":2: no field 'answer'.*Did you mean 'answr'"),
        ({"question": None, "answer": "1"}, r":2: no field 'question'"),
        ("{'question': 1}", r":2: not JSON"),
        ('{"question": "x"', r":2: not JSON"),
        ("[1, 2]", r":2: expected an object with question, answer"),
        ("null", r":2: expected an object"),
    ],
)
def test_a_bad_row_names_file_line_and_field(row: Any, message: str, tmp_path: Path):
    file = jsonl(tmp_path, rows()[0], row)
    with pytest.raises(DataError, match=message) as caught:
        DatasetEnv(file)
    assert str(caught.value).startswith(file)


def test_a_missing_file_and_an_empty_one_are_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no file .*none\.jsonl"):
        DatasetEnv(str(tmp_path / "none.jsonl"))
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(DataError, match=r"empty\.jsonl: no rows"):
        DatasetEnv(str(tmp_path / "empty.jsonl"))


def test_hostile_rows_are_only_text(tmp_path: Path):
    question = "[/x]\x1b[31m</script>{{ 1+1 }} \u202e数学"
    env = DatasetEnv(
        jsonl(tmp_path, {"question": question, "answer": "1e999999999"}), split="train"
    )
    assert env.reset(seed=0)[0] == question
    assert env.step(answer("1"))[1] == 0.0


@pytest.mark.skipif(not (SHARED / "gsm8k_test.jsonl").is_file(), reason="no shared data here")
def test_gsm8k_is_read_whole_and_grades_its_own_answers():
    env = DatasetEnv(str(SHARED / "gsm8k_test.jsonl"), split="test", language="en")
    tasks = env.tasks("test")
    assert len(tasks) == 1319
    for task in tasks:
        assert re.fullmatch(r"-?[\d,]+(\.\d+)?", str(task.reference))
        plain = str(task.reference).replace(",", "")
        assert env.grade(task, answer(plain)).value == 1.0
        assert env.grade(task, answer(plain + "1")).value == 0.0
