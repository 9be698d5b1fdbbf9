"""Bad input: one clear line (or one a problem) on stderr, the right exit code, nothing lost.

Damaged and missing checkpoints, and Ctrl-C, are in test_resume.py.
"""

from __future__ import annotations

import json
import logging
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from palestra.cli.main import run
from tests.run.conftest import TIMES, start

SOURCE = (
    "{env: math/Arithmetic-v1, weight: 1, difficulty: 1, rewards: {accuracy: 1.0, format: 0.2}}"
)
RECIPE = f"""\
name: small
model: tiny
engine: {{threads: 1, token_budget: 2048}}
mixtures:
  sums:
    sources:
      - {SOURCE}
stages:
  zero:
    type: rl
    role: zero
    init_from: base
    mixture: sums
    steps: 3
    prompts_per_step: 4
    group_size: 4
    sampling: {{temperature: 1.0, max_tokens: 48}}
    optimizer: {{type: grpo}}
    optim: {{learning_rate: 2.0e-4}}
    save_steps: 1
    keep_last: 3
"""
TWO_LINES = '{"question": "1+1?", "answer": "2"}\n'

Refused = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, as a user who names files without their path."""
    monkeypatch.chdir(tmp_path)
    # Libraries keep the stderr they first saw, which was an earlier test's and is closed.
    monkeypatch.setattr(logging, "raiseExceptions", False)
    return tmp_path


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run the command; return the lines of its error, having checked all that they share."""

    def check(*arguments: str | Path, code: int = 2) -> list[str]:
        capsys.readouterr()
        returned = run([str(a) for a in arguments])
        out, err = capsys.readouterr()
        assert returned == code, err
        return error_lines(out, err)

    return check


@pytest.fixture
def refused_in_a_run() -> Refused:
    """Run the command in a process of its own to where it fails; return the lines of its error."""

    def check(*arguments: str | Path, code: int = 1) -> list[str]:
        process = start(*arguments)
        out, err = process.communicate(timeout=200)
        assert process.returncode == code, err
        return error_lines(out, err[err.index("error: ") :])

    return check


def error_lines(out: str, err: str) -> list[str]:
    """Return the problems that stderr names, and check that there is nothing but them."""
    assert out == ""
    assert "Traceback" not in err
    assert "\x1b" not in err
    _, *messages = re.split(r"^error: ", err, flags=re.MULTILINE)
    assert len(messages) == 1, err
    lines = messages[0].splitlines()
    assert all(line.strip() for line in lines), "an empty line"
    return lines


def written(name: str = "small.yaml", *changes: tuple[str, str]) -> str:
    """Write the recipe with each `old` made `new`, and return the file's name."""
    text = RECIPE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    Path(name).write_text(text, encoding="utf-8")
    return name


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


# -- what validation sees: exit 2, and nothing is written ------------------------------------------

UNKNOWN = [
    ("env", "math/Arithmetic-v1", "math/Aritmetic-v1", 7, "sources.0.env", "math/Arithmetic-v1"),
    ("optimizer", "type: grpo", "type: grop", 18, "zero.optimizer.type", "grpo"),
    ("reward", "accuracy: 1.0", "acuracy: 1.0", 7, "rewards.acuracy", "accuracy"),
    ("reward model", "format: 0.2", "model.fromat: 0.2", 7, "rewards.model.fromat", "format"),
    ("top key", "engine:", "engin:", 3, "engin", "engine"),
    ("stage key", "keep_last: 3", "keep_lats: 3", 21, "zero.keep_lats", "keep_last"),
    ("option", "type: grpo", "type: grpo, clipp: 0.2", 18, "optimizer.clipp", "clip"),
    ("mixture", "mixture: sums", "mixture: sum", 13, "zero.mixture", "sums"),
    ("origin", "init_from: base", "init_from: bas", 12, "zero.init_from", "base"),
    ("role", "role: zero", "role: zeroo", 11, "zero.role", "zero"),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "near"), [u[1:] for u in UNKNOWN], ids=[u[0] for u in UNKNOWN]
)
def test_an_unknown_name_is_answered_with_place_and_nearest(
    refused: Refused, old: str, new: str, line: int, key: str, near: str
) -> None:
    recipe = written("small.yaml", (old, new))
    (problem,) = refused("run", recipe, "--output", "out")
    assert problem.startswith(f"small.yaml:{line} ")
    assert f"{key}: " in problem
    assert f"Did you mean '{near}'?" in problem
    assert not Path("out").exists()
    assert refused("recipes", "validate", recipe) == [problem]


def test_an_unknown_recipe_is_answered_with_the_nearest(refused: Refused) -> None:
    (problem,) = refused("run", "r1-tny")
    assert "no recipe 'r1-tny'. Did you mean 'r1-tiny'?" in problem
    (problem,) = refused("run", "nowhere/mine.yaml")
    assert "no recipe file 'nowhere/mine.yaml'" in problem
    (problem,) = refused("run", Path.cwd())
    assert "is a folder; a recipe is a YAML file" in problem


def test_an_unknown_type_of_stage_is_answered_with_those_there_are(refused: Refused) -> None:
    (problem,) = refused("run", written("small.yaml", ("type: rl", "type: r")))
    assert problem.startswith("small.yaml:10 stages.zero.type: no stage type 'r'.")
    assert "rl (palestra)" in problem


WRONG = [
    ("group of one", "group_size: 4", "group_size: 1", 16, "at least 2 with grpo, not 1"),
    ("negative weight", "weight: 1", "weight: -1", 7, "greater than or equal to 0, not -1"),
    (
        "weights all zero",
        "weight: 1",
        "weight: 0",
        6,
        "every weight is 0, so there is nothing to draw",
    ),
    ("empty mixture", f"- {SOURCE}", "[]", 6, "should not be empty"),
    ("temperature zero", "temperature: 1.0", "temperature: 0", 17, "above 0, not 0"),
    ("truncated softmax", "temperature: 1.0", "top_p: 0.9", 17, "1 in an rl stage, not 0.9"),
    ("text for a number", "steps: 3", "steps: three", 14, "an integer, not 'three'"),
    ("fraction for a count", "steps: 3", "steps: 3.5", 14, "an integer, not 3.5"),
    ("truth for a number", "steps: 3", "steps: true", 14, "an integer, not True"),
    ("no steps", "steps: 3", "steps: 0", 14, "greater than or equal to 1, not 0"),
    ("rate of infinity", "2.0e-4", ".inf", 19, "a finite number, not inf"),
    ("rate of nan", "2.0e-4", ".nan", 19, "a finite number, not nan"),
    ("list for a name", "model: tiny", "model: [tiny]", 2, "a string, not ['tiny']"),
    ("quota", "group_size: 4", "group_size: 4\n    min_group: 5", 17, "at most `group_size`, 4"),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "what"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
def test_a_wrong_value_is_answered_with_place_and_what_is_right(
    refused: Refused, old: str, new: str, line: int, what: str
) -> None:
    (problem,) = refused("run", written("small.yaml", (old, new)), "--output", "out")
    assert problem.startswith(f"small.yaml:{line} ")
    assert f"should be {what.removeprefix('should be ')}" in problem or what in problem
    assert not Path("out").exists()


def test_every_mistake_has_a_line_of_its_own(refused: Refused) -> None:
    changes = ("steps: 3", "steps: 0"), ("weight: 1", "weight: -1"), ("role: zero", "rule: zero")
    problems = refused("run", written("small.yaml", *changes))
    assert [p.partition(" ")[0] for p in sorted(problems)] == [
        "small.yaml:11",
        "small.yaml:14",
        "small.yaml:7",
    ]


MIXED = [
    ("all weights zero", "weight: 1", "weight: 0", 6, "every weight is 0, so there is nothing to"),
    ("quota", "weight: 1", "quota: 5", 6, "the quotas ask for 5 prompts, and prompts_per_step of"),
    ("floor", "weight: 1", "floor: 1.1", 7, "floor: should be less than or equal to 1, not 1.1"),
    ("group", "weight: 1", "group_size: 1", 7, "group_size: should be at least 2 with grpo"),
    ("no for a choice", "weight: 1", "on_length: no", 7, "In YAML 1.2 `no` is text"),
    ("quoted number", "weight: 1", "weight: '1e-4'", 7, "It is text: write 0.0001, without quotes"),
    ("reward of text", "format: 0.2", "format: lots", 7, "format: should be a number, not 'lots'"),
    ("reward of nan", "format: 0.2", "format: .nan", 7, "format: should be a finite number"),
    ("temperature", "weight: 1", "sampling: {temperature: 0.5}", 7, "should be 1 in the rl stage"),
    ("circle", SOURCE, "{mixture: sums}", 7, "mixtures hold each other: sums > sums"),
    ("nowhere", SOURCE, "{mixture: sum}", 7, "no mixture 'sum'. Did you mean 'sums'?"),
    (
        "curriculum",
        "    sources:",
        "    curriculum: {type: scedule}\n    sources:",
        6,
        "Did you mean",
    ),
    ("extends itself", "name: small", "extends: small.yaml", 1, "recipes extend each other: small"),
    ("extends nothing", "name: small", "extends: ./smal.yml", 1, "no file "),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "what"), [m[1:] for m in MIXED], ids=[m[0] for m in MIXED]
)
def test_a_mixture_that_cannot_be_drawn_is_one_line(
    refused: Refused, old: str, new: str, line: int, what: str
) -> None:
    (problem,) = refused("run", written("small.yaml", (old, new)), "--output", "out")
    assert problem.startswith(f"small.yaml:{line} "), problem
    assert what in problem
    assert not Path("out").exists()


LOCAL = """
from palestra.mixture.curriculum import Curriculum
from palestra.plugins.specs import CurriculumSpec

class Broken(Curriculum):
    def observe(self, outcomes):
        raise RuntimeError("out of rungs")

def palestra_curricula():
    return [CurriculumSpec(name="broken", entry_point=f"{__name__}:Broken")]
"""


@pytest.mark.slow
def test_a_curriculum_that_raises_is_one_line_with_its_name(refused_in_a_run: Refused) -> None:
    Path("mine.py").write_text(LOCAL)
    recipe = written(
        "small.yaml",
        ("model: tiny", "model: tiny\nplugins: [./mine.py]"),
        ("    sources:", "    curriculum: {type: broken}\n    sources:"),
    )
    (problem,) = refused_in_a_run("run", recipe, "--output", "out")
    assert "mixtures.sums.curriculum: curriculum 'broken' (" in problem
    assert problem.endswith("observe: RuntimeError: out of rungs")


def test_a_task_without_a_prompt_is_named_before_the_run(refused: Refused) -> None:
    Path("mine.py").write_text(
        "from palestra import Task, single_turn\n"
        "@single_turn('mine/Mute-v1')\n"
        "def mute(rng, difficulty):\n"
        "    return Task(prompt='', reference=str(rng.integers(9)))\n"
    )
    changes = ("model: tiny", "model: tiny\nplugins: [./mine.py]"), ("math/Arithmetic", "mine/Mute")
    (problem,) = refused("run", written("small.yaml", *changes), "--output", "out", code=1)
    assert problem.startswith("small.yaml:8 mixtures.sums.sources.0")
    assert "mine/Mute-v1" in problem
    assert "no prompt" in problem
    assert not Path("out").exists()


UNREADABLE = [
    ("bracket", "mixture: sums", "mixture: [sums", "small.yaml:14:10: does not parse as YAML"),
    ("tab", "    mixture: sums", "\tmixture: sums", "small.yaml:13:1: does not parse as YAML"),
    ("escape", "mixture: sums", "mixture: \x1b[31m", "small.yaml: does not parse as YAML"),
    ("python", "mixture: sums", "mixture: !!python/name:os.system", "small.yaml:13"),
    ("twice", "mixture: sums", "mixture: a\n    mixture: sums", "small.yaml:14 "),
    ("list", RECIPE, "- a\n", "small.yaml: should be a mapping"),
    ("empty", RECIPE, "", "small.yaml: is empty"),
]


@pytest.mark.parametrize(
    ("old", "new", "begins"), [u[1:] for u in UNREADABLE], ids=[u[0] for u in UNREADABLE]
)
def test_yaml_that_does_not_parse_is_one_line(
    refused: Refused, old: str, new: str, begins: str
) -> None:
    (problem,) = refused("run", written("small.yaml", (old, new)))
    assert problem.startswith(begins)


def test_a_recipe_that_is_no_text_is_one_line(refused: Refused) -> None:
    Path("small.yaml").write_bytes(b"\xff\xfe\x00n")
    assert refused("run", "small.yaml") == ["small.yaml: is not UTF-8 text (byte 0)"]


OPTIONS = [
    (["--only", "nope"], "--only nope: no stage 'nope'. There is: zero"),
    (["--until", "zer"], "--until zer: no stage 'zer'. Did you mean 'zero'?"),
    (["--set", "stages.zero.stepz=3"], "unknown key 'stepz'. Did you mean 'steps'?"),
    (["--set", "stages.zro.steps=3"], "no stage 'zro'. Did you mean 'zero'?"),
    (["--set", "steps"], "--set steps: should be KEY=VALUE"),
    (["--set", "a.b=[1"], "--set a.b=[1: does not parse as YAML"),
    (["--set", "stages.zero.group_size=1"], "--set stages.zero.group_size=1 "),
    (["--seed", "-1"], "greater than or equal to 0"),
    (["--stepz", "3"], "No such option: --stepz"),
    (["--model", "./nowhere"], "no model folder at "),
    (["--model", "small.yaml"], "is a file; a model is a folder with a config.json"),
    (["--model", "."], "is not a model folder: it has no config.json"),
    (["--model", "two words"], "is neither tiny, a folder, nor a hub id"),
]


@pytest.mark.parametrize(("options", "what"), OPTIONS, ids=[" ".join(o[0]) for o in OPTIONS])
def test_a_wrong_option_is_one_line(refused: Refused, options: list[str], what: str) -> None:
    (problem,) = refused("run", written(), *options, "--output", "out")
    assert what in problem
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    mixture: sums", '    "\\e[31mred\\u202e": 1\n    mixture: sums'),
        ("mixture: sums", 'mixture: "\\e]0;title\\a\\u202e"'),
        ("role: zero", 'role: "\\e[2J\\u202e"'),
    ],
    ids=["key", "name", "value"],
)
def test_hostile_names_are_shown_visibly(refused: Refused, old: str, new: str) -> None:
    (problem,) = refused("run", written("small.yaml", (old, new)))
    assert "␛" in problem or "\\x1b" in problem
    assert "\\u202e" in problem
    assert all(c.isprintable() for c in problem)


def test_a_hostile_option_is_shown_visibly(refused: Refused) -> None:
    (problem,) = refused("run", written(), "--only", "\x1b[31mred[/x]")
    assert "no stage '␛[31mred[/x]'" in problem


# -- what trying the environments once sees: before anything is written ---------------------------

TRIED = [
    ("reward", "format: 0.2", "wibble: 0.2", 7, "no reward 'wibble'. The environment emits: "),
    ("env reward", "format: 0.2", "env.acuracy: 0.2", 7, "Did you mean 'accuracy'?"),
    ("level", "difficulty: 1", "difficulty: 9", 7, "has difficulty 1 to 5, not 9 to 9"),
    ("argument", "weight: 1", "kwargs: {sise: 3}", 7, "'sise'"),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "what"), [t[1:] for t in TRIED], ids=[t[0] for t in TRIED]
)
def test_an_environment_that_is_not_so_is_found_out_before_the_run(
    refused: Refused, old: str, new: str, line: int, what: str
) -> None:
    (problem,) = refused("run", written("small.yaml", (old, new)), "--output", "out")
    assert problem.startswith(f"small.yaml:{line} mixtures.sums.sources.0")
    assert what in problem
    assert not Path("out").exists()


def with_rows(rows: str | bytes, arguments: str = "path: rows.jsonl") -> str:
    """Write a data set, and a recipe that trains on it; return the recipe's name."""
    Path("rows.jsonl").write_bytes(rows if isinstance(rows, bytes) else rows.encode())
    return written("small.yaml", (SOURCE, f"{{env: math/Dataset-v1, kwargs: {{{arguments}}}}}"))


ROWS = [
    (TWO_LINES + '{"questoin": "2+2?", "answer": "4"}\n', "rows.jsonl:2: no field 'question'."),
    (TWO_LINES + '{"question": "2+2?", "answer": null}\n', "rows.jsonl:2: no field 'answer'."),
    (TWO_LINES + '{"question": "2+\n', "rows.jsonl:2: not JSON"),
    (TWO_LINES + "[1, 2]\n", "rows.jsonl:2: expected an object with question, answer"),
    ("\n\n", "rows.jsonl: no rows"),
    (b'\xff\xfe{"question"\n', "rows.jsonl: not UTF-8"),
]


@pytest.mark.parametrize(("rows", "what"), ROWS, ids=[r[1] for r in ROWS])
def test_a_row_without_its_fields_is_named_and_the_run_fails(
    refused: Refused, rows: str | bytes, what: str
) -> None:
    """The recipe is right, so this is no 2: validation does not read data sets."""
    recipe = with_rows(rows)
    (problem,) = refused("run", recipe, "--output", "out", code=1)
    assert problem.startswith("small.yaml:7 mixtures.sums.sources.0: ")
    assert what in problem
    assert not Path("out").exists()


def test_a_misspelt_field_is_answered_with_the_rows_own(refused: Refused) -> None:
    (problem,) = refused("run", with_rows(ROWS[0][0]), code=1)
    assert "Did you mean 'questoin'? The row has: questoin, answer" in problem


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ("path: nowhere.jsonl", "no file nowhere.jsonl"),
        ("path: .", "no file ."),
        ("", "missing a required argument: 'path'"),
        ("path: rows.jsonl, quesion: q", "unexpected keyword argument 'quesion'"),
    ],
)
def test_a_missing_dataset_or_argument_is_one_line(
    refused: Refused, arguments: str, what: str
) -> None:
    (problem,) = refused("run", with_rows(TWO_LINES, arguments), "--output", "out")
    assert problem.startswith("small.yaml:7 mixtures.sums.sources.0: ")
    assert what in problem
    assert not Path("out").exists()


def test_a_data_set_that_only_the_evaluation_needs_is_missed_at_once(refused: Refused) -> None:
    recipe = written()
    block = "eval: {envs: [{env: math/Dataset-v1, kwargs: {path: nowhere.jsonl}}]}\n"
    Path(recipe).write_text(RECIPE + block)
    (problem,) = refused("run", recipe, "--output", "out")
    assert problem.startswith("small.yaml:22 eval.envs.0: ")
    assert "no file nowhere.jsonl" in problem
    assert not Path("out").exists()


# -- output folders -------------------------------------------------------------------------------


@pytest.fixture
def small_run(tmp_path: Path) -> Path:
    """The folder of a run of recipe `small` that never began its first stage."""
    folder = tmp_path / "a-run"
    folder.mkdir()
    manifest = {"recipe": "small", "seed": 0, "started": "2026-01-01", "stages": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "stages").mkdir()
    (folder / "stages" / "weights").write_bytes(b"precious")
    return folder


@pytest.mark.parametrize("resume", [[], ["--resume"]], ids=["run", "resume"])
def test_another_recipes_run_is_left_alone(
    refused: Refused, small_run: Path, resume: list[str]
) -> None:
    before = contents(small_run)
    other = written("other.yaml", ("name: small", "name: other"))
    (problem,) = refused("run", other, "--output", small_run, *resume)
    assert "holds a run of recipe 'small', not of 'other'. Name another --output" in problem
    assert contents(small_run) == before


def test_another_seeds_run_is_left_alone(refused: Refused, small_run: Path) -> None:
    before = contents(small_run)
    (problem,) = refused("run", written(), "--seed", "5", "--resume", "--output", small_run)
    assert "holds a run with seed 0, not 5. Say --seed 0, or name another --output" in problem
    assert contents(small_run) == before


def test_a_run_is_not_begun_over_another(refused: Refused, small_run: Path) -> None:
    before = contents(small_run)
    (problem,) = refused("run", written(), "--output", small_run)
    assert "holds a run already. Go on with it by --resume" in problem
    assert contents(small_run) == before


def test_a_folder_that_is_no_run_is_left_alone(refused: Refused, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes(b"cat")
    for resume in ([], ["--resume"]):
        (problem,) = refused("run", written(), "--output", folder, *resume)
        assert "is not empty and holds no run. Name another --output" in problem
    assert contents(folder) == {"cat.jpg": b"cat"}
    (problem,) = refused("run", written(), "--output", folder / "cat.jpg")
    assert "cat.jpg is a file; --output names a folder" in problem


def test_a_manifest_that_is_none_is_one_line(refused: Refused, small_run: Path) -> None:
    for text in ("rubbish", "{}", "[]", '{"stages": {"zero": {}}}'):
        (small_run / "manifest.json").write_text(text)
        (problem,) = refused("run", written(), "--resume", "--output", small_run, code=1)
        assert "manifest.json: not a manifest of this version of Palestra" in problem
    assert (small_run / "stages" / "weights").read_bytes() == b"precious"


def test_nothing_to_resume_is_one_line(refused: Refused, tmp_path: Path) -> None:
    (problem,) = refused("run", written(), "--resume")
    assert "no unfinished run of 'small' with seed 0 under runs/" in problem
    (problem,) = refused("run", written(), "--resume", "--output", tmp_path / "none")
    assert "none holds no run to resume" in problem
    assert not (tmp_path / "none").exists()


def test_resume_does_not_take_another_seeds_run(refused: Refused, small_run: Path) -> None:
    """Its stages were drawn from another seed: all of them would have to be thrown away."""
    place = Path("runs") / "small-1"
    place.parent.mkdir()
    shutil.copytree(small_run, place)
    before = contents(place)
    (problem,) = refused("run", written(), "--resume", "--seed", "7")
    assert "no unfinished run of 'small' with seed 7" in problem
    assert "there is one with --seed 0" in problem
    assert contents(place) == before


@pytest.mark.slow
def test_a_killed_run_loses_only_the_steps_since_its_last_checkpoint(unhindered: Any) -> None:
    stage = Path("out/stages/01-zero")
    process = start("run", written(), "--output", "out")
    deadline = time.monotonic() + 120
    while not (stage / "checkpoints/step-000001").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    again = start("run", "small.yaml", "--output", "out", "--resume")
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert "zero: going on from step " in err
    assert computed(Path("out")) == unhindered


@pytest.mark.slow
def test_what_ctrl_c_says_to_go_on_with_does_go_on() -> None:
    """Whatever options the run began with, and whatever the recipe's file is called."""
    folder = Path("my runs/out")
    changes = ("--seed", "3", "--set", "stages.zero.steps=12")
    process = start("run", written("mine.yaml"), *changes, "--output", folder)
    metrics = folder / "stages/01-zero/metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count("\n") >= 2):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    (hint,) = re.findall(r"go on with: palestra (.*)", err)
    again = start(*shlex.split(hint), "--until", "zero")
    _, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    assert "zero: going on from step " in err
    assert len(metrics.read_text().splitlines()) == 12


# -- models ---------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the embedded model, to damage."""
    from palestra.tiny.paths import base_dir

    return Path(shutil.copytree(base_dir(), tmp_path / "model"))


def without(file: Path, *keys: str) -> None:
    values = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in values.items() if k not in keys}))


def test_a_model_without_a_pad_token_runs_and_says_what_fills_up(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without(model / "tokenizer_config.json", "pad_token")
    without(model / "config.json", "pad_token_id")
    arguments = ["--set", "stages.zero.steps=1", "--output", "out"]
    assert run(["run", written(), "--model", str(model), *arguments]) == 0
    assert "no pad token: its end token fills batches up" in capsys.readouterr().err


def test_a_model_without_an_end_token_is_one_line(refused: Refused, model: Path) -> None:
    without(model / "tokenizer_config.json", "eos_token")
    without(model / "config.json", "eos_token_id")
    (problem,) = refused("run", written(), "--model", model, "--output", "out")
    assert "no end token (eos_token)" in problem
    assert "tokenizer_config.json" in problem


def test_a_model_without_a_chat_template_is_one_line_and_runs_without(
    refused: Refused, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without(model / "tokenizer_config.json", "chat_template")
    (model / "chat_template.jinja").unlink()
    (problem,) = refused("run", written(), "--model", model, "--output", "out")
    assert "the model has no chat template. Use one of: r1_zero, raw, or FILE.jinja" in problem
    arguments = ["--set", "stages.zero.prompt=raw", "--set", "stages.zero.steps=1"]
    assert run(["run", written(), "--model", str(model), *arguments, "--output", "out2"]) == 0


def _cut_weights(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def _other_architecture(model: Path) -> None:
    (model / "config.json").write_text('{"model_type": "wibble"}')


DAMAGE: list[tuple[str, Callable[[Path], Any]]] = [
    ("no tokenizer", lambda m: [p.unlink() for p in m.glob("tokenizer*")]),
    ("no weights", lambda m: (m / "model.safetensors").unlink()),
    ("cut weights", _cut_weights),
    ("no JSON", lambda m: (m / "config.json").write_text("{")),
    ("unknown architecture", _other_architecture),
]


@pytest.mark.parametrize("damage", [d[1] for d in DAMAGE], ids=[d[0] for d in DAMAGE])
def test_a_damaged_model_is_one_line(
    refused: Refused, model: Path, damage: Callable[[Path], Any]
) -> None:
    damage(model)
    (problem,) = refused("run", written(), "--model", model, "--output", "out")
    assert problem.startswith(f"cannot load the model in {model}: ")


@pytest.mark.slow
def test_a_hub_id_without_a_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # without it, the hub's client tries for 45 s
    process = start("run", written(), "--model", "acme/no-such-model", "--output", "out")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    (problem,) = error_lines(out, err)
    assert "cannot load 'acme/no-such-model': neither a model folder here nor one that" in problem


# -- NaN ------------------------------------------------------------------------------------------


@pytest.fixture
def nan_model(model: Path) -> Path:
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"] = torch.full_like(
        weights["model.layers.1.mlp.down_proj.weight"], float("nan")
    )
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    return model


def test_nan_stops_the_run_with_the_batch_saved(refused: Refused, nan_model: Path) -> None:
    import torch

    (problem,) = refused("run", written(), "--model", nan_model, "--output", "out", code=1)
    saved = Path("out/stages/01-zero/nan-batch.pt")
    assert "not finite at update 1" in problem
    assert f"The batch is saved in {saved}" in problem
    assert "Try a smaller learning_rate" in problem
    found = torch.load(saved, weights_only=False)
    assert len(found["batch"]) == 16
    assert not list(Path("out").rglob("checkpoints/step-*"))


def test_nan_in_supervised_training_stops_too(refused: Refused, nan_model: Path) -> None:
    rows = [{"prompt": f"{i}+1?", "completion": str(i + 1)} for i in range(8)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("sft.yaml").write_text(
        "model: tiny\nengine: {threads: 1}\nstages:\n  sft: {type: sft, init_from: base, steps: 2,"
        " batch_size: 4, data: [{file: rows.jsonl}], optim: {learning_rate: 1.0e-4}}\n"
    )
    (problem,) = refused("run", "sft.yaml", "--model", nan_model, "--output", "out", code=1)
    assert "loss and grad_norm not finite at update 1: loss=nan" in problem
    assert Path("out/stages/01-sft/nan-batch.pt").is_file()


def test_nan_later_on_leaves_earlier_checkpoints(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    from palestra.learner.checkpoint import verify
    from palestra.optimizers.grpo import GRPO

    sound, calls = GRPO.loss, [0]

    def spoilt(self: GRPO, now: Any, batch: Any) -> Any:
        calls[0] += 1
        found = sound(self, now, batch)
        return replace(found, value=found.value * float("nan")) if calls[0] > 1 else found

    with monkeypatch.context() as patch:
        patch.setattr(GRPO, "loss", spoilt)
        (problem,) = refused("run", written(), "--output", "out", code=1)
    assert "not finite at update " in problem
    places = sorted(Path("out").rglob("checkpoints/step-*"))
    assert places
    assert [verify(place) for place in places] == [None] * len(places)
    assert run(["run", "small.yaml", "--output", "out", "--resume"]) == 0


# -- disk full ------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "palestra-test", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Fill `disk` up, but for so many bytes."""
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with filler.open("wb") as file:
        file.write(b"\0" * max(0, free - leave))
    return filler


@pytest.fixture(scope="module")
def unhindered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("unhindered")
    (folder / "small.yaml").write_text(RECIPE)
    assert run(["run", str(folder / "small.yaml"), "--output", str(folder / "out")]) == 0
    return computed(folder / "out")


def computed(folder: Path) -> dict[str, Any]:
    stage = folder / "stages" / "01-zero"
    rows = [json.loads(line) for line in (stage / "metrics.jsonl").read_text().splitlines()]
    weights = stage / "checkpoints" / "step-000003" / "model" / "model.safetensors"
    return {
        "metrics": [{k: v for k, v in row.items() if not k.startswith(TIMES)} for row in rows],
        "weights": weights.read_bytes(),
    }


@pytest.mark.parametrize(
    ("megabytes", "saved"),
    [(0, 0), (0.02, 0), (5, 0), (9, 1), (16, 2)],
)
def test_a_full_disk_loses_nothing_that_was_saved(
    refused: Refused,
    small_disk: Path,
    unhindered: dict[str, Any],
    megabytes: float,
    saved: int,
) -> None:
    from palestra.learner.checkpoint import verify

    folder = small_disk / "out"
    filler = fill(small_disk, int(megabytes * 2**20))
    lines = refused("run", written(), "--output", folder, code=1)
    assert len(lines) == 1
    assert lines[0].startswith("the disk is full: cannot write ")
    assert str(folder) in lines[0]
    places = sorted(folder.rglob("checkpoints/step-*"))
    assert len(places) == saved
    assert [verify(place) for place in places] == [None] * saved

    filler.unlink()
    resume = ["--resume"] if (folder / "manifest.json").exists() else []
    assert run(["run", written(), "--output", str(folder), *resume]) == 0
    assert computed(folder) == unhindered


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_one_line() -> None:
    """Where no small disk can be had: a limit on the size of a file, below that of a checkpoint."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    command = [sys.executable, "-m", "palestra.cli.main", "run", written(), "--output", "out"]
    done = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=limit, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr
    (problem,) = error_lines(done.stdout, done.stderr)
    assert "cannot write checkpoint out/stages/01-zero/checkpoints/step-000001" in problem
    assert not list(Path("out").rglob("step-*.tmp"))
    assert run(["run", "small.yaml", "--output", "out", "--resume"]) == 0


# --- optimizers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("{type: ppo}", "optimizer.critic: ppo needs the size of its critic"),
        ("{type: ppo, critic: {from: no/such}}", "optimizer.critic.from: cannot load 'no/such'"),
        ("{type: dr_grpo}", "optimizer.max_length: is required"),
        ("{type: cispo, max_ration: 3}", "Did you mean 'max_ratio'?"),
        ("{type: rlo}", "Did you mean 'rloo'?"),
    ],
)
def test_an_optimizer_that_cannot_be_made_is_one_clear_line(
    block: str, says: str, tmp_path: Path, palestra: Callable[..., tuple[int, str, str]]
) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(RECIPE.replace("{type: grpo}", block))
    code, _, err = palestra("run", recipe, "--output", tmp_path / "run")
    assert code == 2
    assert says in " ".join(err.split())
    assert "Traceback" not in err
