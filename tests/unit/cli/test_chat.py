"""`palestra chat`, through a pipe and through a real terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from palestra.cli.chat import _show
from palestra.cli.main import run

CHAT = [sys.executable, "-m", "palestra.cli.main", "chat", "tiny", "--temperature", "0"]
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


def test_once_prints_thoughts_and_answer_apart(capsys: pytest.CaptureFixture[str]):
    words = ["chat", "tiny", "--temperature", "0", "--prefill", "<think>"]
    assert run([*words, "--max-tokens", "64", "--once", "What is 12+5?"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "thinking"
    assert "answer" in lines
    assert "<think>" not in "".join(lines)
    assert run([*words, "--once", "What is 12+5?", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert lines[-1] == said["answer"]
    assert said["thinking"] in "\n".join(lines)


def test_answers_come_for_each_line_of_a_pipe():
    done = subprocess.run(
        CHAT, input="What is 1+1?\n\nWhat is 2+2?\n", capture_output=True, text=True, env=ENV
    )
    assert done.returncode == 0
    assert done.stdout.count("answer\n") >= 2
    assert ">" not in done.stdout


def test_what_a_model_writes_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]):
    parts = iter([("thinking", "\x1b[2J"), ("answer", "a\x1b]0;title\x07\u202eb")])
    _show(parts)  # pyright: ignore[reportArgumentType]
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "␛[2J" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chat", "tiny", "--json"], "give the question by --once"),
        (["chat", "tiny", "--top-p", "0", "--once", "a"], "--top-p is above 0"),
        (["chat", "./nowhere/at/all", "--once", "a"], "no model folder at './nowhere/at/all'"),
        (["chat", "tiny", "--prompt", "r1_zerro", "--once", "a"], "Did you mean 'r1_zero'"),
    ],
)
def test_mistakes_are_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    assert run(words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_terminal_gets_dim_thoughts_and_ctrl_c_cuts_an_answer_short():
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [*CHAT, "--prefill", "<think>"], ENV)

    def until(text: str, seconds: float = 60.0) -> str:
        seen, end = "", time.monotonic() + seconds
        while text not in seen:
            assert time.monotonic() < end, seen
            seen += os.read(terminal, 4096).decode("utf-8", "replace")
        return seen

    until("> ")
    os.write(terminal, b"What is 12+5?\n")
    said = until("\n> ")
    assert "\x1b[2mthinking" in said
    os.write(terminal, b"\x04")  # Ctrl-D
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.slow
def test_ctrl_c_at_the_prompt_ends_with_130(tmp_path: Path):
    chat = subprocess.Popen(
        CHAT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV
    )
    assert chat.stdin is not None
    assert chat.stdout is not None
    chat.stdin.write(b"What is 1+1?\n")
    chat.stdin.flush()
    assert chat.stdout.readline()  # it is there, and has answered
    time.sleep(1)
    chat.send_signal(signal.SIGINT)
    assert chat.wait(30) == 130
    chat.communicate()
