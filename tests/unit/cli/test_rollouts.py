"""`palestra rollouts` and `palestra view` on the rollouts of a real run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from palestra.cli import main as cli

PLUGIN = '''\
"""An environment whose grader does what a file beside it says."""

from pathlib import Path

from palestra import Task, single_turn


def judge(task, completion):
    mode = Path(__file__).with_name("mode").read_text()
    if mode == "broken":
        raise RuntimeError("[/red]the grader \\x1b[31mbroke")
    return float(len(completion) % 3 == (0 if mode == "usual" else 1))


@single_turn("acme/Length-v1", grade=judge)
def length(rng, difficulty):
    """Lengths."""
    return Task(prompt=f"{rng.integers(1000)}?", reference=None)
'''
RECIPE = """\
model: tiny
plugins: [./acme_length.py]
engine: {threads: 1}
mixtures:
  zero:
    sources:
      - {env: math/Arithmetic-v1, difficulty: 1, quota: 2, on_length: zero,
         rewards: {accuracy: 1.0, format: 0.2, random: 0.1}}
      - {env: logic/Maze-v1, quota: 2}
      - {env: acme/Length-v1, quota: 2}
stages:
  zero:
    type: rl
    init_from: base
    mixture: zero
    steps: 2
    prompts_per_step: 6
    group_size: 4
    sampling: {max_tokens: 20}
    optim: {learning_rate: 1.0e-4}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps: single turns, conversations, and a plugin in a process of its own."""
    home = tmp_path_factory.mktemp("rollouts")
    (home / "acme_length.py").write_text(PLUGIN)
    (home / "mode").write_text("usual")
    (home / "recipe.yaml").write_text(RECIPE)
    command = [sys.executable, "-m", "palestra.cli.main", "run", str(home / "recipe.yaml")]
    done = subprocess.run(
        [*command, "--output", str(home / "run")], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return home


def output(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Any:
    assert cli.run([*map(str, arguments), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def rescored(capsys: pytest.CaptureFixture[str], run: Path, step: int) -> dict[str, Any]:
    return output(capsys, "rollouts", "rescore", run, "--step", str(step))


def rewrite(run: Path, step: int, change: Any) -> None:
    """Change a step's record, row by row."""
    file = run / "stages" / "01-zero" / "rollouts" / f"step-{step:06d}.parquet"
    table = pq.read_table(file)
    rows = table.to_pylist()
    for row in rows:
        change(row)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)


@pytest.mark.slow
def test_unchanged_graders_give_identical_scores(folder: Path, capsys) -> None:
    turns: set[int] = set()
    for step in (1, 2):
        found = rescored(capsys, folder / "run", step)
        assert (found["completions"], found["changed"]) == (24, 0)
        for each in found["rollouts"]:
            after = {k: v for k, v in each["after"].items() if k != "reason"}
            assert after == each["before"]
        assert {e["env_id"] for e in found["rollouts"]} == {
            "math/Arithmetic-v1",
            "logic/Maze-v1",
            "acme/Length-v1",
        }
        file = folder / f"run/stages/01-zero/rollouts/step-{step:06d}.parquet"
        turns |= {len(row["actions"]) for row in pq.read_table(file).to_pylist()}
    assert max(turns) > 1


@pytest.mark.slow
def test_a_changed_grader_changes_its_own_scores_only(folder: Path, capsys) -> None:
    (folder / "mode").write_text("another")
    try:
        found = rescored(capsys, folder / "run", 1)
    finally:
        (folder / "mode").write_text("usual")
    assert 0 < found["changed"] <= 8
    for each in found["rollouts"]:
        if each["changed"]:
            assert each["env_id"] == "acme/Length-v1"
            assert each["after"]["reward"] != each["before"]["reward"]


@pytest.mark.slow
def test_a_grader_that_breaks_is_a_status_and_no_reward(folder: Path, capsys) -> None:
    (folder / "mode").write_text("broken")
    try:
        found = rescored(capsys, folder / "run", 1)
        assert cli.run(["rollouts", "rescore", str(folder / "run"), "--step", "1"]) == 0
    finally:
        (folder / "mode").write_text("usual")
    assert (found["changed"], found["failed"]) == (8, 8)
    broken = [e["after"] for e in found["rollouts"] if e["changed"]]
    assert {(e["reward"], e["status"]) for e in broken} == {(None, "error")}
    assert "the grader" in broken[0]["reason"]
    printed = capsys.readouterr().out
    assert "24 graded again, 8 changed, 8 without a verdict" in printed
    assert "\x1b" not in printed


@pytest.mark.slow
def test_what_cannot_be_played_again_says_why(folder: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)

    def change(row: dict[str, Any]) -> None:
        if row["env_id"] == "math/Arithmetic-v1":
            row["prompt_hash"] = "0" * 16
        elif row["env_id"] == "acme/Length-v1":
            row["task_id"] = "gone"
        elif len(row["actions"]) > 1:
            row["actions"] = row["actions"][:1]
        else:
            row["actions"] = [*row["actions"], "more"]

    rewrite(run, 1, change)
    reasons = {e["after"]["reason"] for e in rescored(capsys, run, 1)["rollouts"]}
    for part in ("its prompt has changed", "no task 'gone'", "the conversation goes on after"):
        assert any(part in reason for reason in reasons), part

    def age(row: dict[str, Any]) -> None:  # as it was before turns were recorded
        row["actions"] = None

    rewrite(run, 2, age)
    found = rescored(capsys, run, 2)["rollouts"]
    old = [e for e in found if "older version" in e["after"]["reason"]]
    assert old
    assert {e["env_id"] for e in old} == {"logic/Maze-v1"}
    assert not any(e["changed"] for e in found if e not in old)


@pytest.mark.slow
def test_ls_and_diff_give_means(folder: Path, capsys) -> None:
    listed = output(capsys, "rollouts", "ls", folder / "run")
    assert [(e["stage"], e["step"], e["groups"], e["completions"]) for e in listed] == [
        ("zero", 1, 6, 24),
        ("zero", 2, 6, 24),
    ]
    metrics = (folder / "run/stages/01-zero/metrics.jsonl").read_text().splitlines()
    for entry, row in zip(listed, map(json.loads, metrics), strict=True):
        assert entry["reward"] == pytest.approx(row["reward"])
    steps = output(capsys, "rollouts", "diff", folder / "run")
    assert (len(steps["tasks"]), steps["only_before"], steps["only_after"]) == (0, 6, 6)
    same = output(capsys, "rollouts", "diff", folder / "run", folder / "run")
    assert (len(same["tasks"]), same["change"]) == (6, 0.0)
    assert cli.run(["rollouts", "ls", str(folder / "run")]) == 0
    assert cli.run(["rollouts", "diff", str(folder / "run"), str(folder / "run")]) == 0
    assert "6 tasks in both, mean change +0.000" in capsys.readouterr().out


@pytest.mark.slow
def test_diff_puts_the_largest_change_first(folder: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)

    def change(row: dict[str, Any]) -> None:
        row["status"] = "ok"
        row["reward"] = 5.0 if row["env_id"] == "math/Arithmetic-v1" else -1.0
        if row["member"] == 0:
            row["status"], row["reward"] = "error", -99.0  # no verdict: in no mean

    rewrite(run, 2, change)
    found = output(capsys, "rollouts", "diff", folder / "run", run)
    tasks = found["tasks"]
    assert [t["env_id"] for t in tasks[:2]] == ["math/Arithmetic-v1"] * 2
    assert [t["after"] for t in tasks] == [5.0, 5.0, -1.0, -1.0, -1.0, -1.0]
    changes = [t["after"] - t["before"] for t in tasks]
    assert [abs(c) for c in changes] == sorted(map(abs, changes), reverse=True)
    assert found["change"] == pytest.approx(sum(changes) / 6)
    assert found["after"]["reward"] == pytest.approx(1.0)


@pytest.mark.slow
def test_show_prints_text_that_a_terminal_neither_reads_nor_obeys(
    folder: Path, tmp_path: Path, capsys
) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    hostile = "[/think] [bold]x[/bold] \x1b[31mred \u202e \x00"

    def change(row: dict[str, Any]) -> None:
        row |= {"completion": hostile, "prompt": hostile, "reason": hostile, "extracted": hostile}

    rewrite(run, 2, change)
    assert cli.run(["rollouts", "show", str(run), "--member", "1"]) == 0
    printed = capsys.readouterr().out
    assert "[/think] [bold]x[/bold] ␛[31mred \\u202e ␀" in printed
    assert not set(printed) & {"\x1b", "\u202e", "\x00"}
    rows = output(capsys, "rollouts", "show", run, "--group", "6")
    assert [row["member"] for row in rows] == [0, 1, 2, 3]
    assert rows[0]["completion"] == hostile


@pytest.mark.slow
def test_view_writes_one_page(folder: Path, tmp_path: Path, capsys) -> None:
    page = Path(output(capsys, "view", folder / "run")["page"])
    assert page == folder / "run/view/01-zero.html"
    assert 'id="data-1"' in page.read_text()
    other = tmp_path / "x.html"
    assert cli.run(["view", str(folder / "run"), "--step", "2", "--output", str(other)]) == 0
    assert capsys.readouterr().out == f"{other}\n"
    assert 'id="data-1"' not in other.read_text()
    assert 'id="data-2"' in other.read_text()
    shutil.copytree(folder / "run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run/stages/01-zero/checkpoints")  # none is saved yet
    page = Path(output(capsys, "view", tmp_path / "run")["page"])
    assert '"texts":["' in page.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("command", [["view"], ["rollouts", "ls"], ["rollouts", "show"],
                                     ["rollouts", "rescore"], ["rollouts", "diff"]],
                         ids=" ".join)  # fmt: skip
def test_mistakes_are_one_line(command: list[str], folder: Path, tmp_path: Path, capsys) -> None:
    def said(*arguments: str | Path, code: int = 2) -> str:
        assert cli.run([*command, *map(str, arguments)]) == code
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        return error

    run = folder / "run"
    assert "no such run folder" in said(tmp_path / "nowhere")
    assert "holds no run" in said(tmp_path)
    (tmp_path / "recipe.yaml").write_text("model: tiny\n")
    assert "no rollouts yet" in said(tmp_path)
    assert "Did you mean 'zero'?" in said(run, "--stage", "zeor")
    if command[-1] == "ls":
        return
    steps = ["--step", "9"] * (2 if command[-1] == "diff" else 1)
    assert "no rollouts of step 9; there are 2 steps, 1 to 2" in said(run, *steps)
    shutil.copytree(run, tmp_path / "damaged")
    (tmp_path / "damaged/stages/01-zero/rollouts/step-000002.parquet").write_bytes(b"PAR1 no")
    assert "step-000002.parquet: cannot be read" in said(tmp_path / "damaged", code=1)
