"""The `palestra` command: what it costs to start, and what it makes of errors."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import types

import pytest
import typer

from palestra.cli import main as cli
from palestra.errors import ConfigError, NotFound, PluginError, TrainingError


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes ``palestra fail`` raise an error."""

    def with_error(error: BaseException) -> None:
        app = typer.Typer()

        @app.command()
        def fail() -> None:
            raise error

        module = types.ModuleType("palestra_failing_command")
        module.app = app
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(cli.COMMANDS, "fail", cli.Entry(module.__name__, "Fail."))

    return with_error


def loaded_after(*arguments: str) -> set[str]:
    code = (
        "import sys\n"
        "from palestra.cli.main import run\n"
        "code = run(sys.argv[1:])\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_help_is_the_table_and_imports_no_command_line_library():
    assert not loaded_after("--help") & {"typer", "click", "rich", "pluggy", "pydantic", "torch"}


@pytest.mark.parametrize(
    "arguments", [("envs", "ls"), ("plugins", "ls"), ("recipes", "ls"), ("run", "--help")]
)
def test_lists_import_nothing_heavy(arguments: tuple[str, ...]):
    assert not loaded_after(*arguments) & {"torch", "transformers", "gymnasium", "numpy", "rich"}


def test_validation_imports_no_torch():
    assert not loaded_after("recipes", "validate", "r1-tiny") & {"torch", "transformers"}


def test_help_names_every_command(capsys):
    assert cli.run(["--help"]) == 0
    printed = capsys.readouterr().out
    for name, entry in cli.COMMANDS.items():
        assert f"  {name} " in printed
        assert entry.summary in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_and_the_verbs_the_table_says(name: str, capsys):
    entry = cli.COMMANDS[name]
    assert cli.run([name, "--help"]) == 0
    assert f"Usage: palestra {name}" in capsys.readouterr().out
    group = typer.main.get_command(importlib.import_module(entry.module).app)
    verbs = sorted(getattr(group, "commands", {}))
    assert verbs == sorted(filter(None, entry.verbs.split(", ")))
    for verb in verbs:
        assert cli.run([name, verb, "-h"]) == 0


def test_version(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("palestra 0.")


@pytest.mark.parametrize("arguments", [[], ["envs"]])
def test_no_command_is_help_on_stderr(arguments: list[str], capsys):
    assert cli.run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("Usage: palestra")
    assert printed.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "no command 'rnu'. Did you mean 'run'? See: palestra --help"),
        (["--verison"], "no option '--verison'. Did you mean '--version'?"),
        (["envs", "shwo"], "Did you mean 'show'? See: palestra envs --help"),
        (["run", "r1-tiny", "--sed", "1"], "--seed"),
        (["envs", "ls", "--jsn"], "--json"),
        (["envs", "show"], "See: palestra envs show --help"),
        (["run", "r1-tiny", "--seed", "x"], "--seed"),
        (["run", "r2-tiny"], "Did you mean 'r1-tiny'?"),
        (["recipes", "show", "/no/such.yaml"], "/no/such.yaml"),
        (["report", "/no/such/run"], "/no/such/run"),
        (["envs", "show", "math/Aritmetic-v1"], "Did you mean 'math/Arithmetic-v1'?"),
        (["envs", "show", "math/Arithmetic-v1", "--kwargs", "x"], "KEY=VALUE"),
        (["envs", "show", "math/Arithmetic-v1", "--kwargs", "x=1"], "It takes: no arguments"),
        (["envs", "show", "math/Arithmetic-v1", "--split", "tset"], "Did you mean 'test'?"),
        (["envs", "ls", "--plugins", "no.py"], "no.py"),
        (["eval", "tiny"], "--env"),
        (["eval", "tiny", "--env", "math/Arithmetic-v1", "--difficulty", "9"], "difficulty 1 to 5"),
        (["eval", "tiny", "--env", "math/Arithmetic-v1", "--difficulty", "x-2"], "--difficulty"),
        (["eval", "tiny", "--env", "math/Arithmetic-v1", "--split", "tset"], "'test'"),
        (["eval", "tiny", "--env", "math/Arithmetic-v1", "--top-p", "2"], "--top-p"),
        (["eval", "./nowhere", "--env", "math/Arithmetic-v1"], "no model folder"),
    ],
)
def test_mistakes_are_one_line_on_stderr_and_exit_code_2(arguments, message, capsys):
    assert cli.run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("wrong key"), 2),
        (NotFound("no such name"), 2),
        (PluginError("it raised"), 1),
        (TrainingError("loss is NaN"), 1),
        (PermissionError(13, "Permission denied", "/some/file"), 1),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2),
    ],
)
def test_expected_errors_are_a_line_and_a_code(fails, error, code, capsys):
    fails(error)
    assert cli.run(["fail"]) == code
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert "Traceback" not in printed
    if isinstance(error, OSError):
        assert printed == "error: /some/file: Permission denied\n"
    if isinstance(error, ModuleNotFoundError):
        assert "pip install 'palestra[train]'" in printed


def test_debug_shows_the_traceback_wherever_it_stands(fails, capsys):
    fails(ConfigError("wrong key"))
    for arguments in (["--debug", "fail"], ["fail", "--debug"]):
        assert cli.run(arguments) == 2
        printed = capsys.readouterr().err
        assert "Traceback" in printed
        assert printed.endswith("error: wrong key\n")


def test_a_bug_keeps_its_traceback(fails, capsys):
    fails(KeyError("x"))
    assert cli.run(["fail"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_130_without_a_traceback(fails, capsys):
    fails(KeyboardInterrupt())
    assert cli.run(["fail"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_hostile_text_in_an_error_does_not_act(fails, capsys):
    fails(PluginError("[/x] \x1b[2J \u202e"))
    assert cli.run(["fail"]) == 1
    assert capsys.readouterr().err == "error: [/x] ␛[2J \\u202e\n"


def test_a_reader_that_goes_away_is_quiet():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "palestra.cli.main", "envs", "ls", "--json"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert done.returncode != 0
    assert done.stderr == ""


def test_a_terminal_without_the_characters_is_no_error():
    arguments = ["envs", "show", "math/Arithmetic-v1", "--language", "zh"]
    done = subprocess.run(
        [sys.executable, "-m", "palestra.cli.main", *arguments],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\\u" in done.stdout
