"""`DockerSandbox`: one container a program."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import uuid

from palestra.errors import ConfigError, PluginError
from palestra.grading.sandbox import Command, Limits, Sandbox, SandboxProcess
from palestra_sandboxes.pipes import PipeProcess, spawn

IMAGE = "python:3.11-slim"
"""The image that programs run in; ``PALESTRA_DOCKER_IMAGE`` names another."""

_UNPACK = 'head -c "$1" | tar -xf - --no-same-owner; shift; exec "$@"'
"""The files are so many bytes of its input (tar alone would read on to the end)."""


class DockerSandbox(Sandbox):
    """Runs programs in containers: no network, read-only, no capability, one user for nobody.

    Raises:
        ConfigError: there is no ``docker`` command, or its daemon does not answer.
    """

    name = "docker"

    def __init__(self) -> None:
        if shutil.which("docker") is None:
            raise ConfigError("sandbox 'docker': the docker command is not installed")
        asked = ["docker", "info", "--format", "{{.ServerVersion}}"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode != 0:
            said = " ".join(done.stderr.split())[-200:]
            raise ConfigError(f"sandbox 'docker': the daemon does not answer: {said}")
        self._image = os.environ.get("PALESTRA_DOCKER_IMAGE", IMAGE)

    def start(self, command: Command, limits: Limits) -> SandboxProcess:
        """Start a command in a container of its own."""
        name = f"palestra-{uuid.uuid4().hex}"
        try:
            files = _archive(command)
            line = run_line(name, self._image, command, limits, len(files))
            process = PipeProcess(spawn(line, env=dict(os.environ)), on_end=lambda: _remove(name))
            process.write(files, timeout_s=60.0)
        except OSError as exc:
            raise PluginError(f"sandbox 'docker': cannot start a program: {exc}") from exc
        return process


def run_line(name: str, image: str, command: Command, limits: Limits, size: int) -> list[str]:
    """Return the ``docker run`` line; its input begins with the `size` bytes of the files."""
    flags = {
        "--name": name,
        "--network": "none",
        "--user": "65534:65534",
        "--cap-drop": "ALL",
        "--security-opt": "no-new-privileges",
        "--pids-limit": str(limits.processes),
        "--ulimit": f"fsize={limits.file_mb << 20}",
        "--tmpfs": f"/tmp:rw,exec,mode=1777,size={limits.file_mb}m",
        "--workdir": "/tmp",
        "--env": "HOME=/tmp",
    }
    if limits.memory_mb is not None:
        memory = f"{limits.memory_mb}m"
        flags |= {"--memory": memory, "--memory-swap": memory}
    line = [part for flag, value in flags.items() for part in (flag, value)]
    enter = ["sh", "-c", _UNPACK, "sh", str(size), *command.argv]
    return ["docker", "run", "--rm", "-i", "--init", "--read-only", *line, image, *enter]


def _archive(command: Command) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in command.files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _remove(name: str) -> None:
    """Kill a container: ending the docker command alone leaves it running."""
    line = ["docker", "rm", "--force", name]
    subprocess.run(line, capture_output=True, timeout=60, check=False)
