"""`math/Dataset-v1` and its kin on CSV, Parquet and Hub data, and on rows that are wrong."""

from __future__ import annotations

import csv
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from palestra.errors import ConfigError, DataError
from palestra_math.dataset import AIMEEnv, DatasetEnv, GSM8KEnv, MATHEnv, SVAMPEnv

SHARED = Path(__file__).parents[4] / "shared" / "data"
ROWS = [{"question": f"What is {i}+1?", "answer": str(i + 1)} for i in range(20)]


def jsonl(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return str(path)


def test_csv_and_parquet_give_the_tasks_that_jsonl_gives(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    with (tmp_path / "d.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["question", "answer"])
        writer.writeheader()
        writer.writerows(ROWS)
    parquet.write_table(arrow.Table.from_pylist(ROWS), tmp_path / "d.parquet")
    paths = [jsonl(tmp_path / "d.jsonl", *ROWS), tmp_path / "d.csv", tmp_path / "d.parquet"]
    read = [
        [(t.prompt, t.reference) for t in DatasetEnv(str(p), split="test").tasks("test")]
        for p in paths
    ]
    assert read[0] == read[1] == read[2]
    assert len(read[0]) == 20


@pytest.mark.parametrize("reference", ["10^{10^{10}}", "1/0", "7" * 3_000, "\u202e42"])
def test_a_reference_that_the_grader_cannot_read_is_said_at_load(tmp_path: Path, reference: str):
    file = jsonl(tmp_path / "d.jsonl", ROWS[0], {"question": "q", "answer": reference})
    with pytest.raises(DataError, match=r"d\.jsonl:2: the grader cannot read field 'answer'"):
        DatasetEnv(file)


def test_a_row_without_an_answer_names_row_and_field(tmp_path: Path):
    file = jsonl(tmp_path / "d.jsonl", ROWS[0], {"question": "q", "answer": "  "})
    with pytest.raises(DataError, match=r"d\.jsonl:2: nothing in field 'answer'"):
        DatasetEnv(file)
    table = tmp_path / "d.csv"
    table.write_text("question,answr\nq,1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"d\.csv:2: no field 'answer'.*Did you mean 'answr'"):
        DatasetEnv(str(table))


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path):
    for name in ("d.jsonl", "d.csv"):
        (tmp_path / name).write_bytes(b'{"question": "caf\xe9", "answer": "1"}\n')
        with pytest.raises(DataError, match=rf"{name}: not UTF-8: byte 17 is 0xe9"):
            DatasetEnv(str(tmp_path / name))


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path):
    pytest.importorskip("pyarrow")
    (tmp_path / "d.parquet").write_text("no")
    with pytest.raises(DataError, match=r"d\.parquet: not a Parquet file"):
        DatasetEnv(str(tmp_path / "d.parquet"))


class Hub:
    """Stands where `datasets` does: one data set, or no network."""

    def __init__(self, rows: list[dict[str, str]] | None) -> None:
        self.rows = rows
        self.asked: list[tuple[str, str | None, str]] = []

    def load_dataset(self, name: str, config: str | None, split: str) -> Any:
        self.asked.append((name, config, split))
        if self.rows is None:
            raise ConnectionError(f"Couldn't reach '{name}' on the Hub (offline)\nmore")
        return self.rows


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    def install(module: Hub | None) -> None:
        real = importlib.import_module

        def imported(name: str, package: str | None = None) -> Any:
            if name != "datasets":
                return real(name, package)
            if module is None:
                raise ImportError(name)
            return module

        monkeypatch.setattr(importlib, "import_module", imported)

    return install


def test_a_hub_id_is_read_by_datasets(hub: Any):
    fake = Hub([{"question": "1+1?", "answer": "so #### 2"}])
    hub(fake)
    env = GSM8KEnv(split="test")
    assert [t.reference for t in env.tasks("test")] == ["2"]
    assert fake.asked == [("openai/gsm8k", "main", "test")]


def test_the_answer_of_math_is_its_last_box(hub: Any):
    hub(Hub([{"problem": "1/2?", "solution": "So \\boxed{3}, no: $\\boxed{\\frac{1}{2}}$."}]))
    env = MATHEnv(split="test")
    env.reset(options={"split": "test", "index": 0})
    assert env.step("<answer>0.5</answer>")[1] == 1.0


def test_offline_and_without_datasets_one_line_says_what_to_do(hub: Any):
    hub(Hub(None))
    with pytest.raises(ConfigError, match=r"^HuggingFaceH4/aime_2024.*reach.*path=FILE") as caught:
        AIMEEnv()
    assert "\n" not in str(caught.value)
    hub(None)
    with pytest.raises(ConfigError, match="needs datasets: pip install datasets"):
        AIMEEnv()


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data here")
@pytest.mark.parametrize(
    ("cls", "file", "kwargs", "count"),
    [
        (GSM8KEnv, "gsm8k_test", {}, 1319),
        (AIMEEnv, "aime24_test", {}, 30),
        (AIMEEnv, "amc23_test", {}, 40),
        (DatasetEnv, "cmath_zh_test", {"language": "zh"}, 600),
        (SVAMPEnv, "svamp_test", {}, 1000),
    ],
    ids=["gsm8k", "aime24", "amc23", "cmath", "svamp"],
)
def test_real_data_is_read_and_its_answers_are_accepted(
    cls: type[DatasetEnv], file: str, kwargs: dict[str, str], count: int
):
    env = cls(str(SHARED / f"{file}.jsonl"), split="test", **kwargs)
    tasks = env.tasks("test")
    assert len(tasks) == count
    for task in tasks:
        assert env.grade(task, f"<answer>{task.reference}</answer>").value == 1.0
        assert env.grade(task, f"<answer>{task.reference}1</answer>").value == 0.0


def test_a_question_of_svamp_is_its_story_and_then_its_question(tmp_path: Path):
    rows = [
        {"Body": "Ann has 3 pens. ", "Question": "How many pens?", "Answer": 3.0},
        {"Body": "Bo has 2 cups", "Question": "How many cups?", "Answer": 2.0},
    ]
    file = tmp_path / "svamp.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    prompts = [task.prompt for task in SVAMPEnv(str(file)).tasks("test")]
    assert prompts == ["Ann has 3 pens. How many pens?", "Bo has 2 cups. How many cups?"]
