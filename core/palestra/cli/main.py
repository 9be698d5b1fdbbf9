"""The `palestra` command: a table of commands, each imported only when it is the one that runs.

Help and a mistyped command are answered from the table alone, because importing typer costs more
than all else that `palestra --help` does. Whatever a command raises becomes one line and an exit
code here: 0, 1 for a run that failed, 2 for what validation can see, 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

INTERRUPTED = 130
BROKEN_PIPE = 1  # the reader went away: quiet, and what typer exits with too


class Entry(NamedTuple):
    """A command: where its typer `app` is, and what the help says of it."""

    module: str
    summary: str
    verbs: str = ""


COMMANDS = {
    "run": Entry("palestra.cli.run", "Run a recipe from its base model to its report."),
    "eval": Entry("palestra.cli.eval", "Evaluate a model on environments."),
    "benchmark": Entry(
        "palestra.cli.benchmark", "Measure a model on a suite, such as r1-benchmarks."
    ),
    "chat": Entry("palestra.cli.chat", "Talk to a model, its thoughts and its answers apart."),
    "serve-sampler": Entry(
        "palestra.cli.serve_sampler", "Start a vLLM server that a run can sample from."
    ),
    "compare": Entry(
        "palestra.cli.compare", "Compare two runs on the questions that both answered."
    ),
    "report": Entry("palestra.cli.report", "Build the report of a run again."),
    "export": Entry("palestra.cli.export", "Write a run's model as a Hugging Face folder."),
    "view": Entry("palestra.cli.view", "Look at the rollouts of a run, in a browser."),
    "rollouts": Entry(
        "palestra.cli.rollouts",
        "Rollouts of a run: read them, grade them again.",
        "ls, show, rescore, diff",
    ),
    "claims": Entry("palestra.cli.claims", "Ask the paper's claims of the embedded model."),
    "data": Entry(
        "palestra.cli.data", "Sets of examples that stages made: read them.", "ls, show, card"
    ),
    "envs": Entry(
        "palestra.cli.envs",
        "Environments: look at them, play them, check them.",
        "ls, show, play, check, profile",
    ),
    "recipes": Entry(
        "palestra.cli.recipes", "Recipes: look at them, check them.", "ls, show, validate, schema"
    ),
    "plugins": Entry(
        "palestra.cli.plugins",
        "Plugins: install them, begin one, find what is wrong.",
        "ls, show, install, uninstall, new, doctor",
    ),
}

_TRAIN = (
    "accelerate",
    "httpx",
    "jinja2",
    "matplotlib",
    "pyarrow",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
)
"""Modules of the extra `train`."""

HELP = """\
Usage: palestra COMMAND [ARGUMENTS]

Reasoning environments as plugins, and the DeepSeek-R1 recipe to train on them.

Commands:
{commands}

Options:
  --debug        Show the traceback of an error.
  --version      Print the version.
  -h, --help     Print this help; palestra COMMAND --help prints a command's.

First steps:
  palestra run r1-tiny               the whole recipe on a CPU, in minutes
  palestra envs play math/Arithmetic-v1
"""


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; nothing it raises on purpose gets out.

    Args:
        arguments: the words behind ``palestra``.
    """
    _forgive_encodings()
    args, debug = _take_debug(arguments)
    try:
        code = _dispatch(args)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return BROKEN_PIPE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as exc:
        failure = _explain(exc)
        if failure is None or debug:
            import traceback

            traceback.print_exc()
        if failure is None:
            return 1
        message, code = failure
        if message:
            _say(message)
    return code


def _forgive_encodings() -> None:
    """Let no character stop a command: one that a terminal lacks, or that is typed in no code."""
    streams: tuple[Any, ...] = (sys.stdin, sys.stdout, sys.stderr)
    for stream, errors in zip(streams, ("replace", *["backslashreplace"] * 2), strict=True):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)


def _take_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Take ``--debug`` out from wherever it stands: people add it at the end of what failed."""
    args = list(arguments)
    end = args.index("--") if "--" in args else len(args)
    debug = "--debug" in args[:end]
    return [a for i, a in enumerate(args) if a != "--debug" or i > end], debug


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(_help(), end="", file=sys.stdout if args else sys.stderr)
        return 0 if args else 2
    if args[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"palestra {version('palestra')}")
        return 0
    entry = COMMANDS.get(args[0])
    if entry is None:
        from palestra.errors import did_you_mean

        what = "option" if args[0].startswith("-") else "command"
        known = ("--help", "--version", "--debug") if what == "option" else COMMANDS
        _say(f"no {what} '{args[0]}'.{did_you_mean(args[0], known)} See: palestra --help")
        return 2
    return _run_command(args[0], entry, args[1:])


def _help() -> str:
    width = max(len(name) for name in COMMANDS) + 2
    lines = [
        f"  {name:<{width}}{entry.summary}"
        + (f"\n  {'':<{width}}  {entry.verbs}" if entry.verbs else "")
        for name, entry in COMMANDS.items()
    ]
    return HELP.format(commands="\n".join(lines))


def _run_command(name: str, entry: Entry, args: list[str]) -> int:
    from importlib import import_module

    import typer

    app: typer.Typer = import_module(entry.module).app
    app.rich_markup_mode = None  # plain help: rich would be a tenth of a second, and reads markup
    app.pretty_exceptions_enable = False
    command: Any = typer.main.get_command(app)
    names = {"help_option_names": ["-h", "--help"]}
    command.context_settings = {**command.context_settings, **names}
    try:
        code = command.main(args=args, prog_name=f"palestra {name}", standalone_mode=False)
    except typer.Abort:  # what typer makes of Ctrl-C, and of the end of input at a question
        raise KeyboardInterrupt from None
    return code if isinstance(code, int) else 0


def _explain(exc: Exception) -> tuple[str, int] | None:
    """Return the line and the exit code for an error that is not a bug of ours; else None."""
    from palestra.errors import PalestraError

    if isinstance(exc, PalestraError):
        return str(exc) or type(exc).__name__, exc.exit_code
    if isinstance(exc, ModuleNotFoundError) and exc.name in _TRAIN:
        return f"this needs {exc.name}. Run: pip install 'palestra[train]'", 2
    if isinstance(exc, OSError):
        where = f"{exc.filename}: " if exc.filename else ""
        return f"{where}{exc.strerror or exc}", 1
    message = getattr(exc, "format_message", None)  # typer's own, or click's with an older typer
    if message is None:
        return None
    context: Any = getattr(exc, "ctx", None)
    if type(exc).__name__ == "NoArgsIsHelpError" and context is not None:
        print(context.get_help(), file=sys.stderr)
        return "", 2
    text = str(message()).rstrip()
    text += "" if text.endswith((".", "?", ")")) else "."
    see = f" See: {context.command_path} --help" if context is not None else ""
    return text + see, int(getattr(exc, "exit_code", 2))


def _say(message: str) -> None:
    from palestra.terminal import visible

    print(f"error: {visible(message)}", file=sys.stderr)


if __name__ == "__main__":
    main()
