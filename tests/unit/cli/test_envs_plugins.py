"""`palestra envs` and `palestra plugins`, as a person and as a script see them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from palestra.terminal import one_line, visible

LOCAL = r'''
from palestra import MultiTurnEnv, Score, Task, Turn, environment, single_turn

print("noise on import")

@single_turn("mine/Add-v1")
def add(rng, difficulty):
    """Add [bold]two[/think] numbers."""
    a, b = rng.integers(100, size=2)
    return Task(prompt=f"\x1b[31mWhat is {a} + {b}?\u202e", reference=str(a + b))

@environment("mine/Echo-v1")
class Echo(MultiTurnEnv):
    def sample(self, rng, difficulty):
        return Task(prompt=f"say a word, then stop ({rng.integers(10**9)})")
    def respond(self, task, action):
        done = action == "stop"
        return Turn(observation="" if done else f"you said {action}", done=done,
                    score=Score(value=float(done)))
'''


def palestra(
    *arguments: object, typed: str = "", code: int = 0
) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "palestra.cli.main", *map(str, arguments)],
        input=typed,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(LOCAL, encoding="utf-8")
    return path


def test_ls_is_one_json_document_whatever_plugins_print(local: Path):
    found = json.loads(palestra("envs", "ls", "--json", "--plugins", local).stdout)
    ids = {env["id"]: env for env in found}
    assert ids["mine/Echo-v1"]["distribution"] == "mine.py"
    assert ids["math/Arithmetic-v1"]["distribution"] == "palestra"
    assert "[bold]two[/think]" in palestra("envs", "ls", "--plugins", local).stdout


def test_show_grades_the_reference_and_tames_the_prompt(local: Path):
    shown = palestra("envs", "show", "mine/Add-v1", "--plugins", local, "--seed", 3).stdout
    assert "␛[31mWhat is" in shown
    assert "\x1b" not in shown
    assert r"\u202e" in shown
    assert "score   1 (accuracy 1" in shown
    document = json.loads(
        palestra("envs", "show", "math/Arithmetic-v1", "--json", "--difficulty", 2).stdout
    )
    assert document["sample"]["difficulty"] == 2
    assert document["sample"]["score"]["value"] == 1.0
    assert document["sizes"] == {"train": None, "validation": None, "test": None}


def test_play_scores_an_answer_from_an_option_a_file_and_the_keyboard(local: Path, tmp_path: Path):
    answer = tmp_path / "answer.txt"
    answer.write_text("<answer>-1</answer>")
    add = ("envs", "play", "mine/Add-v1", "--plugins", local)
    for result in (
        palestra(*add, "--answer", "<answer>-1</answer>"),
        palestra(*add, "--file", answer),
        palestra(*add, typed="<answer>-1</answer>\n\n"),
    ):
        assert "score   0" in result.stdout
        assert "answer  -1" in result.stdout
    assert "status  unparsable" in palestra(*add, "--answer", "no idea").stdout


def test_play_takes_several_turns(local: Path):
    result = palestra("envs", "play", "mine/Echo-v1", "--plugins", local, typed="hi\n\nstop\n")
    assert "you said hi" in result.stdout
    assert result.stdout.count("score") == 2
    assert (
        "stopped before the end"
        in palestra("envs", "play", "mine/Echo-v1", "--plugins", local, "--answer", "hi").stderr
    )


def test_plugins_ls_is_a_table_or_json():
    assert "palestra" in palestra("plugins", "ls").stdout
    found = {p["name"]: p for p in json.loads(palestra("plugins", "ls", "--json").stdout)}
    assert found["palestra"]["state"] == "ok"
    assert found["palestra"]["counts"]["policy_optimizer"] == 1


def test_mistakes_are_one_line_and_exit_code_2():
    wrong = palestra("envs", "show", "math/Aritmetic-v1", code=2).stderr
    assert wrong.startswith("error: no environment 'math/Aritmetic-v1'. Did you mean")
    assert wrong.count("\n") == 1
    assert "Did you mean 'envs'?" in palestra("env", "ls", code=2).stderr
    assert "Did you mean 'show'?" in palestra("envs", "shwo", code=2).stderr


@pytest.mark.parametrize("arguments", [["--help"], ["envs", "ls"], ["plugins", "ls"]])
def test_quick_commands_import_nothing_heavy(arguments: list[str]):
    code = (
        "import sys; from palestra.cli.main import main\n"
        "try: main()\nexcept SystemExit as exc: assert not exc.code\n"
        "heavy = {'torch', 'transformers', 'gymnasium', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)


def test_visible_shows_what_a_terminal_would_obey_or_hide():
    assert visible("\x1b]0;title\x07\r\x7f") == "␛]0;title␇␍␡"
    assert visible("\x9b31m a\u202eb\u2066c\u200f\u200b") == r"\x9b31m a\u202eb\u2066c\u200f\u200b"
    assert visible("\ud800\U000e0041") == r"\ud800\U000e0041"
    plain = "x\ty\nz é 你好\u3000[/think] 😀"
    assert visible(plain) == plain
    assert one_line("a\n b\t\x00") == "a b ␀"
