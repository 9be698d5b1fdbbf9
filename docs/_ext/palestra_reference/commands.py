"""Every command with its arguments and options: what its ``--help`` prints."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from importlib import import_module
from typing import Any
from unittest import mock

import typer.main

from palestra.cli.main import COMMANDS, run


def commands() -> str:
    """Return a section for each command."""
    return "\n\n".join(
        f"## {' '.join(('palestra', *words))}\n\n```text\n{_help(words)}\n```"
        for words in each_command()
    )


def each_command() -> Iterator[tuple[str, ...]]:
    """Yield each command that does something, as the words behind ``palestra``."""
    for name, entry in COMMANDS.items():
        root: Any = typer.main.get_command(import_module(entry.module).app)
        verbs = list(getattr(root, "commands", {}))
        yield from [(name, verb) for verb in verbs] or [(name,)]


def _help(words: tuple[str, ...]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), mock.patch.dict(os.environ, {"COLUMNS": "96"}):
        run([*words, "--help"])
    return printed.getvalue().strip()
