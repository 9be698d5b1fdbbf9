"""Sandboxes for the tests of the code grader: each way of confinement that this machine has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from palestra.errors import ConfigError
from palestra.grading import sandbox as sandboxes
from palestra_code import warm
from palestra_sandboxes.local import LocalSandbox
from palestra_sandboxes.unsafe import UnsafeSubprocess

DATA = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def _registered() -> Iterator[None]:
    """Give the sandboxes their names, whether or not the package is installed as a plugin."""
    try:
        sandboxes._open.setdefault("local", LocalSandbox())
    except ConfigError as exc:
        pytest.skip(str(exc))
    sandboxes._open.setdefault("unsafe_subprocess", UnsafeSubprocess())
    yield
    warm.close()


@pytest.fixture(params=["bubblewrap", "namespaces"])
def confined(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a sandbox that confines programs in one way."""
    name = f"local-{request.param}"
    try:
        sandboxes._open[name] = LocalSandbox(by=request.param)
    except ConfigError as exc:
        pytest.skip(str(exc))
    yield name
    warm.close()
    del sandboxes._open[name]


@pytest.fixture(scope="session")
def humaneval() -> Path:
    path = DATA / "humaneval.jsonl"
    if not path.is_file():
        pytest.skip("no humaneval.jsonl")
    return path


@pytest.fixture(scope="session")
def mbpp() -> list[dict[str, object]]:
    path = DATA / "mbpp_sanitized.json"
    if not path.is_file():
        pytest.skip("no mbpp_sanitized.json")
    return json.loads(path.read_text(encoding="utf-8"))
