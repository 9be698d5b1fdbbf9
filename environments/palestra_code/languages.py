"""The languages that programs may be written in, and how a program of each is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from palestra.errors import ConfigError, GraderFailed, did_you_mean
from palestra_code.cases import Case, OutputCase
from palestra_code.session import ProgramFailed, Session

_COMPILE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """How a program is compiled and run.

    Attributes:
        name: what `run_tests` calls it.
        file: the name of its source; empty for Python, which the driver runs itself.
        compiler: the command that makes a program of the source; empty where there is none.
        command: the command that runs it.
        reserves: whether its runtime reserves more memory than it uses, so that only its own
            switch, ``{memory}`` in `command`, limits it.
    """

    name: str
    file: str = ""
    compiler: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    reserves: bool = False

    def memory(self, memory_mb: int) -> int | None:
        """Return the limit that the sandbox sets."""
        return None if self.reserves else memory_mb

    def prepare(self, session: Session, program: str) -> None:
        """Bring the program into a session, and compile it.

        Raises:
            ProgramFailed: it does not compile.
            GraderFailed: the sandbox has no compiler, or nothing to run it with.
        """
        if not self.file:
            session.load(program)
            return
        needed = (self.compiler or self.command)[0]
        found = session.run_command(["sh", "-c", f"command -v {needed}"], b"", _COMPILE_S)
        if found["exit"] != 0:
            raise GraderFailed(f"no '{needed}' in the sandbox, so no {self.name} is graded")
        session.write(self.file, program.encode())
        if self.compiler:
            done = session.run_command(list(self.compiler), b"", _COMPILE_S)
            if done["exit"] != 0:
                raise ProgramFailed(f"it does not compile: {done['error'].strip()}")

    def run(self, session: Session, stdin: str) -> dict[str, Any]:
        """Run the program once."""
        if not self.file:
            return session.run_script(stdin)
        given = stdin.encode("utf-8", "surrogatepass")
        return session.run_command(list(self.command), given, session.limits.timeout_s)


_LANGUAGES = {
    each.name: each
    for each in (
        Language(name="python"),
        Language(
            name="cpp",
            file="program.cpp",
            compiler=("g++", "-std=c++17", "-O2", "-o", "program", "program.cpp"),
            command=("./program",),
        ),
        Language(
            name="javascript",
            file="program.js",
            command=("node", "--max-old-space-size=512", "program.js"),
            reserves=True,
        ),
    )
}


def find(name: str, cases: Sequence[Case]) -> Language:
    """Return a language by its name.

    Raises:
        ConfigError: there is none of the name, or its programs cannot be called as `cases` do.
    """
    if name not in _LANGUAGES:
        known = ", ".join(_LANGUAGES)
        raise ConfigError(
            f"no language '{name}'.{did_you_mean(name, _LANGUAGES)} There are: {known}"
        )
    if name != "python" and not all(isinstance(case, OutputCase) for case in cases):
        raise ConfigError(f"language '{name}': only tests with 'stdin' can be run, not calls")
    return _LANGUAGES[name]
