"""`palestra envs check` and `palestra envs profile`, as a person and as a script see them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

MY_ENV = Path(__file__).parents[3] / "examples" / "my_env.py"

BROKEN = '''
from palestra import SingleTurnEnv, Task, environment

@environment("acme/Broken-v1")
class Broken(SingleTurnEnv):
    """Pays whoever says please."""
    def sample(self, rng, difficulty):
        a = int(rng.integers(10**6))
        return Task(prompt=f"What is {a} + 1, \\x1b[31mplease?", reference=str(a + 1))
    def grade(self, task, completion):
        return 1.0 if "please" in completion else super().grade(task, completion)
'''


def envs(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "palestra.cli.main", "envs", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_a_light_environment_passes_in_seconds():
    since = time.monotonic()
    printed = envs("check", "math/Arithmetic-v1").stdout
    assert time.monotonic() - since < 20
    assert "reference-earns-the-maximum     ok (200 references)" in printed
    assert "FAILED" not in printed
    assert "false passes: 0 of " in printed
    assert "false fails: 0 of 200 references refused" in printed


def test_a_local_file_is_checked_in_the_child_too():
    document = json.loads(envs("check", "acme/Add-v1", "--plugins", MY_ENV, "--json").stdout)
    assert document["env"] == "acme/Add-v1"
    assert (document["failed"], document["false_pass"], document["false_fail"]) == (0, 0, 0)
    assert document["passed"] == sum(c["state"] == "ok" for c in document["checks"]) > 30


def test_a_failure_says_what_with_an_example_and_the_mend(tmp_path: Path):
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    printed = envs("check", "acme/Broken-v1", "--plugins", file, code=1).stdout
    line = next(line for line in printed.splitlines() if "prompt-is-not-paid" in line)
    assert "FAILED: 48 of 48 were paid, as: 'What is " in line
    assert "mend: compare the whole answer with the reference" in printed
    assert "false passes: 48 of" in printed
    assert "\x1b" not in printed


def test_a_dataset_is_checked_with_its_arguments(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    rows = [
        {"question": f"What is {n} times 7919?", "answer": str(n * 7919)} for n in range(100, 300)
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    arguments = ("--kwargs", f"path={file}")
    document = json.loads(envs("check", "math/Dataset-v1", *arguments, "--json").stdout)
    assert document["failed"] == 0
    na = {c["name"] for c in document["checks"] if c["state"] == "n/a"}
    assert na == {"declared-size-is-true", "conversations-only-grow"}


def test_mistakes_are_one_line():
    wrong = envs("check", "math/Aritmetic-v1", code=2).stderr
    assert "Did you mean 'math/Arithmetic-v1'?" in wrong
    assert "--all" in envs("check", code=2).stderr
    assert "path" in envs("check", "math/Dataset-v1", code=2).stderr


@pytest.mark.slow
def test_all_checks_whatever_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PALESTRA_PLUGINS", "")
    file = tmp_path / "more.py"
    file.write_text(
        MY_ENV.read_text()
        + "@single_turn('acme/Other-v1')\n"
        + "def other(rng, difficulty):\n"
        + "    a = int(rng.integers(10**6))\n"
        + "    return Task(prompt=f'What is {a}-1?', reference=str(a - 1))\n"
        + "from palestra import SingleTurnEnv, environment\n"
        + "@environment('acme/Data-v1')\n"
        + "class Data(SingleTurnEnv):\n"
        + "    def __init__(self, path): ...\n"
    )
    done = envs("check", "--all", "--json", "--plugins", file)
    checked = {document["env"] for document in json.loads(done.stdout)["envs"]}
    assert checked == {"acme/Add-v1", "acme/Other-v1"}
    assert "acme/Data-v1: not checked: " in done.stderr


def test_profile_measures_rates_lengths_and_memory():
    document = json.loads(envs("profile", "math/Arithmetic-v1", "--json").stdout)
    assert document["tasks_per_s"] > 1_000
    assert document["reference_gradings_per_s"] > 1_000
    assert document["junk_gradings_per_s"] > 1_000
    lengths = document["prompt_characters"]
    assert 0 < lengths["min"] <= lengths["median"] <= lengths["p90"] <= lengths["max"] < 40
    assert 0.9 < document["distinct_share"] <= 1.0
    assert "a second" in envs("profile", "acme/Add-v1", "--plugins", MY_ENV).stdout


def test_play_takes_turns_from_a_file(tmp_path: Path):
    chat = tmp_path / "chat.py"
    chat.write_text(
        "from palestra import MultiTurnEnv, Score, Task, Turn, environment\n"
        "@environment('acme/Chat-v1')\n"
        "class Chat(MultiTurnEnv):\n"
        "    def sample(self, rng, difficulty):\n"
        "        return Task(prompt=f'Say stop. ({rng.integers(10**9)})')\n"
        "    def respond(self, task, action):\n"
        "        done = action == 'stop'\n"
        "        return Turn(observation='' if done else 'go on', done=done,\n"
        "                    score=Score(value=float(done)))\n"
    )
    answers = tmp_path / "answers.txt"
    answers.write_text("hello\nyou\n---\nstop\n")
    played = envs("play", "acme/Chat-v1", "--plugins", chat, "--file", answers, "--json")
    document = json.loads(played.stdout)
    assert [turn["action"] for turn in document["turns"]] == ["hello\nyou", "stop"]
    assert (document["ended"], document["total"]) == ("terminated", 1.0)
