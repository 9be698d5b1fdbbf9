"""`UnsafeSubprocess`: no sandbox at all, for programs that one would run by hand."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from palestra.errors import PluginError
from palestra.grading.sandbox import Command, Limits, Sandbox, SandboxProcess
from palestra_sandboxes.pipes import PipeProcess, spawn

_LIMIT = """
import os, resource, sys
memory, processes, files = map(int, sys.argv[1:4])
if memory:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
resource.setrlimit(resource.RLIMIT_FSIZE, (files, files))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.execvp(sys.argv[4], sys.argv[4:])
"""


class UnsafeSubprocess(Sandbox):
    """Runs programs as the user who grades, with limits on memory and files and nothing else.

    A program can read and write that user's files, use the network, and outlive its grading.
    Values that are expected still never enter its process, so an honest verdict stays honest;
    a hostile program can do what its user can. For programs that you trust.
    """

    name = "unsafe_subprocess"

    def start(self, command: Command, limits: Limits) -> SandboxProcess:
        """Start a command, unconfined, in a temporary folder."""
        folder = Path(tempfile.mkdtemp(prefix="palestra-"))
        for name, content in command.files.items():
            (folder / name).write_bytes(content)
        program = sys.executable if command.argv[0] == "python3" else command.argv[0]
        memory = (limits.memory_mb or 0) << 20
        given = [str(memory), str(limits.processes), str(limits.file_mb << 20)]
        argv = [sys.executable, "-I", "-S", "-c", _LIMIT, *given, program, *command.argv[1:]]
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "LANG": "C.UTF-8"}
        try:
            child = spawn(argv, env=env, cwd=folder)
        except OSError as exc:
            shutil.rmtree(folder, ignore_errors=True)
            raise PluginError(f"sandbox '{self.name}': cannot start a program: {exc}") from exc
        return PipeProcess(child, on_end=lambda: shutil.rmtree(folder, ignore_errors=True))
