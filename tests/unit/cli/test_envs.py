"""`palestra envs`: constructor arguments, JSON of a play, and Ctrl-C at the prompt."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from palestra.cli import main as cli
from palestra.plugins.registry import reset_registry

MY_ENV = str(Path(__file__).parents[3] / "examples" / "my_env.py")


@pytest.fixture(autouse=True)
def fresh_registry():
    yield
    reset_registry()


def test_kwargs_reach_the_constructor(tmp_path: Path, capsys):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"q": "How many are 2 and 2?", "a": "4"}\n')
    arguments = [f"path={file}", "question=q", "answer=a", "split=test", "limit=1"]
    given = [word for argument in arguments for word in ("--kwargs", argument)]
    command = ["envs", "show", "math/Dataset-v1", "--split", "test", *given, "--json"]
    assert cli.run(command) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["sizes"]["test"] == 1
    assert document["sample"]["score"]["value"] == 1.0


def test_play_in_json_is_one_document_and_the_rest_goes_to_stderr(capsys):
    command = ["envs", "play", "acme/Add-v1", "--plugins", MY_ENV, "--seed", "4", "--json"]
    assert cli.run([*command, "--answer", "<answer>-1</answer>"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["env"] == "acme/Add-v1"
    assert document["ended"] == "terminated"
    assert document["total"] == 0.0
    assert document["turns"][0]["action"] == "<answer>-1</answer>"
    assert document["turns"][0]["score"]["extracted_answer"] == "-1"
    assert document["turns"][0]["observation"] in printed.err


def test_an_answer_and_a_file_are_one_too_many(capsys):
    command = ["envs", "play", "acme/Add-v1", "--plugins", MY_ENV, "--answer", "1", "--file", "f"]
    assert cli.run(command) == 2
    assert "not both" in capsys.readouterr().err


def test_ctrl_c_at_the_prompt_is_130():
    with subprocess.Popen(
        [sys.executable, "-m", "palestra.cli.main", "envs", "play", "math/Arithmetic-v1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite started in the background has it ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as play:
        assert play.stderr is not None
        while "Your answer" not in play.stderr.readline():
            pass
        play.send_signal(signal.SIGINT)
        _, rest = play.communicate(timeout=30)
    assert play.returncode == 130
    assert "Traceback" not in rest
