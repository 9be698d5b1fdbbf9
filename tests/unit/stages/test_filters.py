"""Each filter takes what it names and counts it; the set says where it comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from palestra.cli import main as cli
from palestra.envs import Score, Status
from palestra.errors import ConfigError, DataError
from palestra.evaluation.config import EvalConfig
from palestra.plugins.registry import get_registry
from palestra.recipe.config import load_recipe
from palestra.recipe.graph import validate_graph
from palestra.rewards.models import RewardModels
from palestra.rollout.trajectory import Group, Trajectory
from palestra.stages import filters as module
from palestra.stages.dataset import DataFacts, read_dataset, version_of, write_dataset
from palestra.stages.filter_config import FilterConfig
from palestra.stages.filters import Filters, Taken, repetition, write_layout

GOOD = "<think>I add two and three and get five.</think> <answer>5</answer>"


def member(text: str = GOOD, prompt: str = "What is 2 + 3?", **changes: Any) -> Trajectory:
    values: dict[str, Any] = {
        "env_id": "math/Arithmetic-v1",
        "task_id": "t",
        "prompt_hash": prompt,
        "messages": [{"role": "user", "content": prompt}],
        "language": "en",
        "difficulty": 1,
        "token_ids": np.arange(20),
        "loss_mask": np.arange(20) >= 10,
        "sampler_logprobs": np.zeros(20, np.float32),
        "versions": np.zeros(20, np.int32),
        "rewards": ((19, 1.0),),
        "components": {"accuracy": 1.0},
        "status": Status.OK,
        "reason": "",
        "extracted": "5",
        "stop_reason": "stop",
        "text": text,
    }
    return Trajectory(**{**values, **changes})


def sift(
    *members: Trajectory,
    require: dict[str, float] | None = None,
    layout: str | None = None,
    evaluations: list[EvalConfig] | None = None,
    **config: Any,
) -> tuple[int, dict[str, int]]:
    """How many are left, and what each filter took."""
    taken = Taken()
    made = filters(FilterConfig(**config), require, layout, evaluations)
    groups = [Group(source=0, number=i, members=(one,)) for i, one in enumerate(members)]
    return len(made.sift(groups, taken)), dict(taken.counts)


def filters(
    config: FilterConfig,
    require: dict[str, float] | None = None,
    layout: str | None = None,
    evaluations: list[EvalConfig] | None = None,
) -> Filters:
    registry = get_registry()
    models = RewardModels(registry)
    return Filters(config, require or {}, layout, registry, models, evaluations or [], "here")


CODE = "<think>I compute it:\n```python\nprint(2 + 3)\n```</think><answer>5</answer>"
INDENTED = "<think>so\n    a = 2\n    b = 3\nfive</think><answer>5</answer>"
MIXED = "<think>I add 二 加 三 得 五 now</think><answer>5</answer>"
LOOP = "<think>" + "and so it is five " * 20 + "</think><answer>5</answer>"
LONG = "<think>" + "word " * 30 + "\n\n" + "short one" + "</think><answer>5</answer>"


@pytest.mark.parametrize(
    ("bad", "told", "name"),
    [
        (member(status=Status.TIMEOUT), {}, "no verdict"),
        (member(stop_reason="length"), {}, "cut short"),
        (member(components={"accuracy": 0.0}), {"require": {"accuracy": 1.0}}, "accuracy"),
        (member(components={}), {"require": {"accuracy": 0.0}}, "accuracy"),
        (member("5"), {"require": {"format": 1.0}}, "format"),
        (member("5"), {"layout": "{thinking}{answer}"}, "layout"),
        (member(loss_mask=np.arange(20) >= 17), {"min_tokens": 10}, "min_tokens"),
        (member(loss_mask=np.arange(20) >= 0), {"max_tokens": 10}, "max_tokens"),
        (member(MIXED), {"language": 0.9}, "language"),
        (member(LOOP), {"repetition": 0.2}, "repetition"),
        (member(LONG), {"max_paragraph": 29}, "max_paragraph"),
        (member(CODE), {"code_in_thought": False}, "code_in_thought"),
        (member(INDENTED), {"code_in_thought": False}, "code_in_thought"),
    ],
)
def test_each_filter_takes_what_it_names_and_leaves_a_good_one(
    bad: Trajectory, told: dict[str, Any], name: str
) -> None:
    assert sift(member(), bad, **told) == (1, {name: 1})
    assert sift(member()) == (1, {})


def test_code_in_the_answer_and_a_question_without_language_pass() -> None:
    answer = member("<think>easy</think><answer>\n```\n5\n```\n</answer>")
    assert sift(answer, member(MIXED, language=None), code_in_thought=False, language=0.9)[0] == 2


def test_repetition_is_the_share_of_what_occurred_before() -> None:
    assert repetition("a b c d", 2) == 0
    assert repetition("a b a b a", 2) == pytest.approx(2 / 4)  # ab ba ab ba
    assert repetition("a", 2) == 0


def test_every_judge_must_agree_and_one_that_fails_takes_no_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = {"strict": [1.0, 0.4, 1.0, None], "mild": [1.0, 1.0, 0.0, 1.0]}

    class Judges:
        def __init__(self, weights: dict[str, float], *rest: object) -> None:
            assert set(weights) == {"model.strict", "model.mild"}

        def model_scores(self, batch: list[Any]) -> list[dict[str, Score]]:
            return [
                {f"model.{name}": Score.failed("down") if v[i] is None else Score(value=v[i])
                 for name, v in scores.items()}
                for i in range(len(batch))
            ]  # fmt: skip

    monkeypatch.setattr(module, "RewardSum", Judges)
    left, taken = sift(*[member() for _ in range(4)], judges={"strict": 0.5, "mild": 0.5})
    assert (left, taken) == (1, {"judge strict failed": 1, "judge strict": 1, "judge mild": 1})


def test_registered_reward_models_judge() -> None:
    assert sift(member(), member("5"), judges={"format": 1.0}) == (1, {"judge format": 1})


def test_near_duplicates_differ_in_case_and_punctuation_alone() -> None:
    def key(text: str, kind: str) -> tuple[str, str]:
        config = FilterConfig.model_validate({"duplicates": kind})
        return filters(config).key(member(text))

    assert key("So, it is 5!", "near") == key("so it is  5", "near")
    assert key("So, it is 5!", "exact") != key("so it is  5", "exact")
    assert key("it is 5", "near") != key("it is 6", "near")


def test_an_example_that_shares_ten_words_with_an_evaluation_is_taken(tmp_path: Path) -> None:
    words = [f"w{i}" for i in range(30)]
    file = tmp_path / "test.jsonl"
    rows = [{"question": " ".join(words), "answer": "5"}, {"question": "else", "answer": "4"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    kwargs = {"path": str(file), "split": "test"}
    evaluation = EvalConfig.model_validate(
        {"envs": [{"env": "math/Dataset-v1", "kwargs": kwargs, "split": "test"}], "questions": 2}
    )
    nine, ten = " ".join(words[3:12]), " ".join(words[3:13])
    members = [member(prompt=nine), member(prompt=ten), member(f"<think>{ten}</think>5")]
    told = {"evaluations": [evaluation], "decontaminate": 10}
    assert sift(*members, **told) == (1, {"decontaminate": 2})


def test_a_layout_puts_the_parts_in_their_places() -> None:
    layout = "<think>\n{thinking}\n</think>\n\n{answer}"
    text = "<think> a {answer} b </think><answer> 5 </answer>"
    assert write_layout(layout, text) == "<think>\na {answer} b\n</think>\n\n5"
    assert write_layout(None, text) == text


# -- the set --------------------------------------------------------------------------------------


def test_a_set_names_its_version_and_its_card_the_filters(tmp_path: Path) -> None:
    rows = [{"prompt": "2?", "completion": "two | words", "env_id": "math/A-v1", "language": "en"}]
    facts = DataFacts(
        recipe="r", stage="s", seed=1, model="base", lineage="abc", sampled=9, kept=1,
        version=version_of(rows), taken={"accuracy": 8}, filters={"require": {"accuracy": 1.0}},
    )  # fmt: skip
    write_dataset(rows, tmp_path / "examples.parquet", facts)
    assert read_dataset(tmp_path / "examples.parquet") == (rows, facts)
    card = (tmp_path / "README.md").read_text()
    for line in ("| accuracy | 8 |", "- lineage `abc`", "| math/A-v1 | en | 1 |", facts.version):
        assert line in card
    assert version_of([{**rows[0], "completion": "three"}]) != facts.version
    pq.write_table(
        pq.read_table(tmp_path / "examples.parquet").replace_schema_metadata(None),
        tmp_path / "other.parquet",
    )
    with pytest.raises(DataError, match="not made by a stage"):
        read_dataset(tmp_path / "other.parquet")


RECIPE = """\
model: tiny
engine: {{threads: 1}}
mixtures:
  sums: {{sources: [{{env: math/Arithmetic-v1, difficulty: 1, rewards: {{accuracy: 1.0}}}}]}}
stages:
  made:
    type: rejection_sampling
    init_from: base
    mixture: sums
    prompts: 8
    samples: 8
    sampling: {{max_tokens: 48}}
    {more}
"""


def recipe(folder: Path, more: str) -> Path:
    file = folder / "recipe.yaml"
    file.write_text(RECIPE.format(more=more))
    return file


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("filters: {judges: {fromat: 1.0}}", "no reward model 'fromat'. Did you mean 'format'"),
        ("filters: {decontaminate: 10}", "there is no question to keep out"),
        ("filters: {repitition: 0.1}", "repetition"),
        ("filters: {min_tokens: 9, max_tokens: 8}", "`min_tokens`, 9, is above `max_tokens`, 8"),
        ("layout: '{thinking}'", "should have {answer} once, not 0 times"),
    ],
)
def test_filters_that_cannot_be_are_one_line(tmp_path: Path, more: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        validate_graph(load_recipe(recipe(tmp_path, more)))
    (only,) = str(error.value).splitlines()
    assert line in only
    assert "recipe.yaml:" in only


@pytest.mark.slow
def test_a_run_s_set_is_read_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = "filters: {repetition: 0.9, code_in_thought: false}\n    require: {format: 1.0}"
    run = tmp_path / "run"
    assert cli.run(["run", str(recipe(tmp_path, more)), "--output", str(run)]) == 0
    capsys.readouterr()
    assert cli.run(["data", "ls", str(run), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["sampled"] == 64
    assert found["kept"] + sum(found["taken"].values()) == 64
    assert (
        found["lineage"]
        == json.loads((run / "manifest.json").read_text())["stages"]["made"]["hash"]
    )
    assert cli.run(["data", "card", str(run)]) == 0
    assert (
        capsys.readouterr().out.rstrip() == (run / "stages/01-made/README.md").read_text().rstrip()
    )
    assert cli.run(["data", "show", str(run), "--stage", "made", "--count", "1"]) == 0
    assert f"[0/{found['kept']}] math/Arithmetic-v1" in capsys.readouterr().out
    for words, line in (
        (["show", str(run), "--stage", "mad"], "no set of a stage 'mad'. Did you mean 'made'"),
        (["show", str(run), "--first", "999"], "not 999"),
        (["ls", str(tmp_path)], "holds no set of examples"),
        (["ls", str(tmp_path / "no")], "does not exist"),
    ):
        assert cli.run(["data", *words]) == 2
        assert line in capsys.readouterr().err


@pytest.mark.slow
def test_an_empty_set_says_which_filter_took_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = "filters: {min_tokens: 48, max_tokens: 48}\n    require: {format: 0.0}"
    arguments = ["run", str(recipe(tmp_path, more)), "--output", str(tmp_path / "run")]
    assert cli.run(arguments) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "made: 0 of 64 completions are left, and min_examples is 1. Taken by " in line
    counts = {
        word.rpartition(" ")[0]: int(word.rpartition(" ")[2])
        for word in line.partition("Taken by ")[2].partition(".")[0].split(", ")
    }
    assert sum(counts.values()) == 64
    assert counts["min_tokens"] > 0
