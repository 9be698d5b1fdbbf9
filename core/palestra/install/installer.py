"""pip, or uv where uv made the environment: one interface to both, and their errors in a line."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from palestra.errors import ConfigError

_ERROR = re.compile(r"(?:ERROR|error):\s*")
_UV_LINE = re.compile(r"^ [+~] ([A-Za-z0-9][\w.-]*)(?:==(\S+)| @ (\S+))", re.MULTILINE)
_OFFLINE = re.compile(
    r"(?:connection broken by '|Failed to fetch|error sending request|dns error)(\w*)"
)
_MISSING = re.compile(
    r"No matching distribution found for ([\w.-]+)|Because ([\w.-]+) was not found in the"
)


class InstallerFailed(ConfigError):
    """The installer said no.

    Attributes:
        missing: canonical name of a package that it found nowhere, or "".
        reasons: which package wants which other, in its words.
        offline: whether it could not reach an index.
    """

    def __init__(self, tool: str, output: str) -> None:
        found = _MISSING.search(output)
        self.missing = canonicalize_name(found[1] or found[2]) if found else ""
        self.reasons = tuple(
            dict.fromkeys(re.findall(r"^ +(\S+ \S+ depends on .+)$", output, re.M))
        )
        self.offline = bool(_OFFLINE.search(output))
        where = f"{tool} could not reach a package index: " if self.offline else f"{tool}: "
        super().__init__(where + last_error(output))


class Installer:
    """Installs into the environment of this interpreter, quietly.

    Attributes:
        tool: ``pip`` or ``uv``.
    """

    def __init__(self) -> None:
        uv = shutil.which("uv")
        has_pip = importlib.util.find_spec("pip") is not None
        if uv and (_made_by_uv() or not has_pip):
            self.tool, self._command = "uv", [uv, "pip"]
            self._where = ["--python", sys.executable]
        elif has_pip:
            self.tool, self._command = "pip", [sys.executable, "-m", "pip", "--no-input"]
            self._where = list[str]()
        else:
            raise ConfigError(
                f"neither pip nor uv is there for {sys.executable}. "
                f"Run: {sys.executable} -m ensurepip"
            )

    def plan(self, targets: Sequence[str], pins: Mapping[str, str]) -> dict[str, str]:
        """Return name and version of what installing `targets` would install; install nothing.

        A version is "" where only installing tells it.

        Args:
            targets: requirements, addresses or paths.
            pins: distributions that have to keep these versions.

        Raises:
            InstallerFailed: there is no such package, or no versions that fit together.
        """
        with _constraints(pins) as options:
            if self.tool == "uv":
                return _uv_plan(self._run("install", "--dry-run", *options, *targets).stderr)
            with tempfile.TemporaryDirectory(prefix="palestra-") as folder:
                report = Path(folder) / "report.json"
                options += ["--report", str(report)]
                self._run("install", "--dry-run", *options, *targets)
                return _pip_plan(report.read_text(encoding="utf-8"))

    def install(self, targets: Sequence[str], pins: Mapping[str, str]) -> None:
        """Install `targets` and what they need.

        Raises:
            InstallerFailed: it did not work; part of it may be done.
            KeyboardInterrupt: Ctrl-C, once the installer has come to its end.
        """
        with _constraints(pins) as options:
            self._run("install", *options, *targets, finish=True)

    def uninstall(self, names: Iterable[str]) -> None:
        """Uninstall distributions.

        Raises:
            InstallerFailed: it did not work.
        """
        yes = [] if self.tool == "uv" else ["--yes"]
        self._run("uninstall", *yes, *names, finish=True)

    def _run(
        self, verb: str, *arguments: str, finish: bool = False
    ) -> subprocess.CompletedProcess[str]:
        command = [*self._command, verb, *self._where, *arguments]
        code, out, err = _communicate(command, finish=finish)
        if code:
            raise InstallerFailed(self.tool, f"{out}\n{err}")
        return subprocess.CompletedProcess(command, code, out, err)


def last_error(output: str) -> str:
    """Return the last error of an installer's output, in one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [line for line in lines if _ERROR.match(line) and "for help visit" not in line]
    causes = [line.strip("╰─▶│ ") for line in lines if line.startswith(("cause:", "╰─▶"))]
    if causes:  # uv's form, its older one a drawing
        return re.sub(r"^cause:\s*", "", causes[-1])
    last = (marked or lines or ["it said nothing"])[-1]
    return _ERROR.sub("", last)


def _communicate(command: list[str], *, finish: bool) -> tuple[int, str, str]:
    """Run a command that Ctrl-C does not reach.

    A terminal sends Ctrl-C to the whole group, and an installer that dies half way leaves files
    that nothing can uninstall. So while it writes (`finish`) it is let come to its end, and the
    interrupt raised then; while it only plans it is ended at once.
    """
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "NO_COLOR": "1"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        start_new_session=True,
    )
    try:
        out, err = process.communicate()
    except KeyboardInterrupt:
        if finish:
            with uninterrupted():
                process.communicate()
        else:
            process.kill()
            process.communicate()
        raise
    return process.returncode, out, err


@contextlib.contextmanager
def uninterrupted() -> Generator[None]:
    """Hold Ctrl-C off: for work that must not stop half way."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # only the main thread may; others are not interrupted either
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _constraints(pins: Mapping[str, str]) -> Generator[list[str]]:
    """Write `pins` as a constraints file, and yield the options that name it."""
    if not pins:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="palestra-") as folder:
        file = Path(folder) / "installed.txt"
        lines = [f"{name}=={version}\n" for name, version in pins.items() if version]
        file.write_text("".join(lines), encoding="utf-8")
        yield ["--constraint", str(file)]


def _made_by_uv() -> bool:
    with contextlib.suppress(OSError):
        lines = (Path(sys.prefix) / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
        return any(line.partition("=")[0].strip() == "uv" for line in lines)
    return False


def _pip_plan(report: str) -> dict[str, str]:
    items: list[dict[str, Any]] = json.loads(report)["install"]
    return {canonicalize_name(i["metadata"]["name"]): i["metadata"]["version"] for i in items}


def _uv_plan(text: str) -> dict[str, str]:
    return {
        canonicalize_name(name): version or _version_of(address)
        for name, version, address in _UV_LINE.findall(text)
    }


def _version_of(address: str) -> str:
    """Return the version that a wheel's name tells; of a folder, uv does not say it."""
    with contextlib.suppress(InvalidWheelFilename):
        return str(parse_wheel_filename(address.rpartition("/")[2])[1])
    return ""
