"""`run_tests`: whether a program that a model wrote passes, and a verdict that it cannot forge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from palestra.envs import Score, Status
from palestra.errors import GraderFailed, PluginError
from palestra.grading.sandbox import Limits, get_sandbox
from palestra_code import courtroom, languages, plain, warm
from palestra_code.cases import CallCase, Case, CodeCase, OutputCase, read_cases
from palestra_code.compare import identical, same_output
from palestra_code.session import ProgramFailed, Session

MAX_PROGRAM = 1_000_000
"""Characters of a program; a longer one is wrong."""

Reward = Literal["all", "fraction"]


def run_tests(
    program: str,
    tests: Sequence[Mapping[str, object]],
    sandbox: str = "local",
    timeout_s: float = 10.0,
    memory_mb: int = 512,
    *,
    reward: Reward = "all",
    language: str = "python",
) -> Score:
    """Run a program against tests, apart from what they expect.

    The program runs in a sandbox. What is expected stays outside; only plain data comes out, and
    is compared here, by exact type, count and length. So a program that exits, patches, forges
    output, lies about equality or kills what runs it is wrong, or at a limit, and both are worth
    nothing: the status is ``ok``, because a policy must not choose to go ungraded. The status is
    ``error`` where the grader failed: no sandbox, a test that cannot be run.

    Args:
        program: its source.
        tests: of the forms ``{"stdin", "stdout"}``; ``{"function", "args", "kwargs", "expected"}``,
            where a method of a class ``Solution`` is found too;
            ``{"assert": "assert f(2) == 11"}``;
            ``{"check": code, "entry_point": name}``, whose code defines ``check(candidate)``.
        sandbox: its name, as in ``palestra plugins ls``.
        timeout_s: seconds of wall time for each test.
        memory_mb: memory of each of its processes.
        reward: 1 for all tests or nothing, or the fraction of the tests that pass.
        language: ``python``, or ``cpp`` or ``javascript`` for tests with ``stdin``.

    Returns:
        The score; its `reason` names the first test that failed.

    Raises:
        DataError: `tests` is empty, or of no known form.
        ConfigError: no such sandbox or language, or the sandbox does not work on this machine.
    """
    cases = read_cases(tests)
    speech = languages.find(language, cases)
    get_sandbox(sandbox)  # where there is none, that is said before any program is graded
    trouble = _unfit(program)
    if trouble:
        return Score(value=0.0, reason=trouble)
    limits = Limits(timeout_s=timeout_s, memory_mb=speech.memory(memory_mb))
    run = _Run(program, sandbox, limits, speech)
    passed, reason = 0, ""
    try:
        for number, case in enumerate(cases, start=1):
            trouble = run.trouble(case)
            passed += not trouble
            if trouble and not reason:
                reason = f"test {number} of {len(cases)}: {trouble}"
            if run.hopeless or (trouble and reward == "all"):
                break
    except GraderFailed as exc:
        return Score.failed(str(exc))
    except PluginError as exc:
        return Score.failed(f"sandbox '{sandbox}': {exc}")
    finally:
        run.close()
    share = passed / len(cases)
    value = share if reward == "fraction" else float(passed == len(cases))
    return Score(value=value, status=Status.OK, reason=reason)


def _unfit(program: str) -> str:
    if len(program) > MAX_PROGRAM:
        return f"a program of {len(program):,} characters (limit {MAX_PROGRAM:,})"
    try:
        program.encode("utf-8")
    except UnicodeEncodeError:
        return "the program is not valid Unicode text"
    return "" if program.strip() else "no program"


class _Run:
    """One program and its sessions: a new one where it broke the last."""

    def __init__(
        self, program: str, sandbox: str, limits: Limits, language: languages.Language
    ) -> None:
        self._program = program
        self._sandbox = sandbox
        self._limits = limits
        self._language = language
        self._session: Session | None = None
        self.hopeless = False

    def trouble(self, case: Case) -> str:
        """Return why the program fails a case, or an empty string."""
        if not _may_define(self._program, case):
            return "the program does not define what is called"
        try:
            session = self._ready()
            if isinstance(case, OutputCase):
                return self._output(session, case)
            session.open_case()
            try:
                if isinstance(case, CodeCase):
                    return courtroom.passes(case, session)[1]
                return _call(session, case)
            finally:
                if session.usable:
                    session.close_case()
        except ProgramFailed as exc:
            return str(exc) or "it failed"

    def close(self) -> None:
        """Throw the session away."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _ready(self) -> Session:
        if self._session is not None and not self._session.usable:
            self._session.close()
            self._session = None
        if self._session is None:
            self._session = self._fresh()
            try:
                self._language.prepare(self._session, self._program)
            except ProgramFailed:
                self.hopeless = True
                raise
        return self._session

    def _fresh(self) -> Session:
        session = warm.take(self._sandbox, self._limits)
        try:
            session.begin()
        except PluginError:  # it died while it waited: the next is started for us
            session = Session(get_sandbox(self._sandbox), self._limits)
            session.begin()
        return session

    def _output(self, session: Session, case: OutputCase) -> str:
        done = self._language.run(session, case.stdin)
        if done["exit"] != 0:
            last = done["error"].strip().splitlines()
            return last[-1] if last else f"the program ended with status {done['exit']}"
        return "" if same_output(done["out"], case.stdout) else "wrong output"


def _may_define(program: str, case: Case) -> bool:
    """Whether a name that a test calls stands in a program: most junk is told without running."""
    if isinstance(case, OutputCase) or "import *" in program:
        return True
    names = {case.function} if isinstance(case, CallCase) else case.calls
    return not names or any(name in program for name in names)


def _call(session: Session, case: CallCase) -> str:
    try:
        value = plain.loads(session.call(case.function, case.args, case.kwargs))
    except plain.NotPlain as exc:
        return f"{case.function} returned no plain data ({exc})"
    return "" if identical(value, case.expected) else "wrong answer"
