"""A cloud on this machine, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from palestra.errors import ConfigError
from palestra_sandboxes.local import LocalSandbox

ROOT = Path(__file__).parents[2]


class LocalCloud:
    """The local server, seen from a test."""

    def __init__(self, folder: Path) -> None:
        port_file = folder / "port"
        self._log = (folder / "server.log").open("wb")
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.e2b.server", str(port_file)], cwd=ROOT, stderr=self._log
        )
        deadline = time.monotonic() + 60.0
        while not port_file.exists():
            assert self._child.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline, "the local server does not start"
            time.sleep(0.05)
        self.url = f"http://127.0.0.1:{port_file.read_text()}"

    def control(self, **changes: Any) -> dict[str, Any]:
        """Change the server's state (see `tests.e2b.server.Cloud`) and return what it was asked."""
        data = json.dumps(changes).encode()
        with urllib.request.urlopen(f"{self.url}/control", data=data, timeout=30) as answer:
            return json.load(answer)

    def machines(self) -> dict[str, list[int]]:
        """Return the processes of each machine that runs."""
        return self.control()["machines"]

    def close(self) -> None:
        self._child.terminate()
        self._child.wait(30)
        self._log.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    try:  # the machines of the local server confine programs as this machine does
        LocalSandbox(by="namespaces")
    except ConfigError as exc:
        pytest.skip(str(exc))
    server = LocalCloud(tmp_path_factory.mktemp("e2b"))
    yield server
    server.close()


@pytest.fixture
def cloud(server: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloud]:
    """The local server as the SDK's own, with nothing in it and nothing wrong with it."""
    from tests.e2b.server import KEY

    monkeypatch.setenv("E2B_API_KEY", KEY)
    monkeypatch.setenv("E2B_API_URL", server.url)
    monkeypatch.setenv("E2B_SANDBOX_URL", server.url)
    left = list(server.machines())
    calm = {"refuse": 0, "refuse_starts": 0, "status": 429, "most": 20, "frozen": False}
    server.control(kill=left, asked=[], bodies=[], **calm)
    yield server
    server.control(frozen=False)
