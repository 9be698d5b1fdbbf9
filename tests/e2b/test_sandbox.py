"""The sandbox in the cloud, over the real SDK: what a program gets, and what goes wrong."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("e2b_code_interpreter", reason="needs palestra[e2b]")
pytest.importorskip("ipykernel", reason="the local server's machines have a Jupyter kernel")
pytest.importorskip("uvicorn", reason="the local server is an ASGI application")

from palestra.errors import ConfigError, PluginError
from palestra.grading.sandbox import Command, Completed, Limits, Sandbox
from palestra_e2b.sandbox import E2BSandbox
from palestra_e2b.settings import Settings
from tests.e2b.conftest import LocalCloud

PATIENT = Limits(timeout_s=60.0)
LOOP = "while True: pass"


@pytest.fixture
def box(cloud: LocalCloud) -> Iterator[E2BSandbox]:
    sandbox = E2BSandbox(Settings(machines=1, patience_s=20.0))
    yield sandbox
    sandbox.close()


def command(source: str) -> Command:
    files = {"p.py": textwrap.dedent(source).encode()}
    return Command(argv=("python3", "-I", "-S", "p.py"), files=files)


def python(
    sandbox: Sandbox, source: str, limits: Limits = PATIENT, stdin: bytes = b""
) -> Completed:
    return sandbox.run(command(source), limits, stdin)


def test_a_program_reads_its_input_and_its_files_and_ends(box: E2BSandbox) -> None:
    done = python(box, "import sys; print(sys.stdin.read() * 2, end=''); sys.exit(3)", stdin=b"ab")
    assert done.stdout == b"abab"
    assert done.exit_code == 3
    assert not done.timed_out


def test_every_byte_comes_back_as_it_was_written(box: E2BSandbox) -> None:
    everything = bytes(range(256)) * 4099
    source = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    assert python(box, source, stdin=everything).stdout == everything


def test_a_grader_talks_with_a_program(box: E2BSandbox) -> None:
    process = box.start(
        command("for line in iter(input, 'end'): print(line * 2, flush=True)"), PATIENT
    )
    for word in (b"ab", b"cd"):
        process.write(word + b"\n", 30.0)
        assert process.read(100, 30.0) == word * 2 + b"\n"
    with pytest.raises(TimeoutError):
        process.read(100, 0.2)
    process.write(b"end\n", 30.0)
    assert process.read(100, 30.0) == b""
    assert process.end(10.0) == 0
    assert process.end() is None


def test_what_is_written_to_a_program_that_has_ended_is_a_broken_pipe(box: E2BSandbox) -> None:
    process = box.start(command("print(1)"), PATIENT)
    assert process.read(100, 30.0) == b"1\n"
    assert process.read(100, 30.0) == b""
    with pytest.raises(ConnectionError):
        process.write(b"x" * 100_000, 10.0)
    assert process.end(10.0) == 0


def test_a_program_that_reads_no_input_makes_writing_time_out(box: E2BSandbox) -> None:
    process = box.start(command("import time; time.sleep(60)"), PATIENT)
    with pytest.raises(TimeoutError):
        process.write(b"x" * (8 << 20), 1.0)
    process.end()


def test_a_program_sees_no_network_no_files_of_the_machine_and_no_other_program(
    box: E2BSandbox, cloud: LocalCloud
) -> None:
    other = box.start(
        command("open('mine', 'w').write('42'); print(1, flush=True); input()"), PATIENT
    )
    assert other.read(10, 30.0) == b"1\n"
    port = cloud.url.rsplit(":", 1)[1]
    done = python(
        box,
        f"""
        import os, socket
        print(os.listdir('.'), sum(name.isdigit() for name in os.listdir('/proc')))
        for call in (lambda: socket.create_connection(('127.0.0.1', {port}), 2),
                     lambda: os.listdir('/root'), lambda: os.listdir('{os.getcwd()}')):
            try:
                call()
            except OSError:
                print('refused')
        """,
    )
    other.end()
    assert done.stdout == b"['p.py'] 2\n" + 3 * b"refused\n"
    assert cloud.control()["bodies"][0]["allow_internet_access"] is False


def test_a_hang_is_ended_and_nothing_of_it_is_left(box: E2BSandbox, cloud: LocalCloud) -> None:
    source = f"import os\nif os.fork() == 0: os.setsid()\n{LOOP}"
    done = python(box, source, Limits(timeout_s=1.0))
    assert done.timed_out
    assert done.exit_code is None
    assert not _running(b"p.py")
    assert list(cloud.machines().values()) == [[]]
    assert python(box, "print(1)").stdout == b"1\n"
    assert box.facts()["e2b/machines"] == 1


def test_a_flood_of_output_is_cut_and_fills_no_memory(box: E2BSandbox) -> None:
    source = "import os\nwhile True: os.write(1, b'x' * 65536)"
    done = python(box, source, Limits(timeout_s=60.0, output_bytes=1 << 20))
    assert done.truncated
    assert len(done.stdout) == 1 << 20
    process = box.start(command(source), PATIENT)
    time.sleep(2.0)
    assert len(process._process._output) < 8 << 20  # type: ignore[attr-defined]
    process.end()
    assert python(box, "print(1)").stdout == b"1\n"


def test_limits_hold_in_the_cloud(box: E2BSandbox) -> None:
    memory = python(box, "print(len(b'x' * (1 << 30)))", Limits(timeout_s=60.0, memory_mb=256))
    assert memory.stdout == b""
    assert memory.exit_code == 1
    source = """
    try:
        open('big', 'wb').write(b'x' * (2 << 20))
    except OSError as exc:
        print('refused')
    """
    assert python(box, source, Limits(timeout_s=60.0, file_mb=1)).stdout == b"refused\n"


def test_machines_are_kept_and_made_only_where_each_is_full(cloud: LocalCloud) -> None:
    box = E2BSandbox(Settings(machines=2, patience_s=20.0))
    for _ in range(3):
        assert python(box, "print(1)").stdout == b"1\n"
    assert len(cloud.machines()) == 1
    cores = os.cpu_count() or 1
    waiting = [box.start(command("input()"), PATIENT) for _ in range(2 * cores + 1)]
    assert len(cloud.machines()) == 2
    for process in waiting:
        process.close_stdin()
        process.end()
    box.close()
    assert cloud.machines() == {}


def test_many_threads_share_the_machines(cloud: LocalCloud) -> None:
    box = E2BSandbox(Settings(machines=2, patience_s=60.0))
    with ThreadPoolExecutor(6) as threads:
        done = list(threads.map(lambda n: python(box, f"print({n} ** 2)"), range(18)))
    assert [each.stdout for each in done] == [b"%d\n" % n**2 for n in range(18)]
    assert len(cloud.machines()) <= 2
    box.close()


def test_a_machine_that_is_killed_mid_run_is_a_failure_and_is_made_anew(
    box: E2BSandbox, cloud: LocalCloud
) -> None:
    process = box.start(command("print(1, flush=True); input()"), PATIENT)
    assert process.read(10, 30.0) == b"1\n"
    cloud.control(kill=list(cloud.machines()))
    with pytest.raises(
        PluginError, match=r"^sandbox 'e2b': a machine was lost while a program ran"
    ):
        process.read(10, 30.0)
    with pytest.raises(PluginError):
        process.write(b"x", 5.0)
    assert process.end() is None
    assert python(box, "print(2)").stdout == b"2\n"
    assert box.facts()["e2b/machines"] == 2
    assert box.facts()["e2b/machines_lost"] == 1


def test_a_machine_that_died_between_programs_is_made_anew(
    box: E2BSandbox, cloud: LocalCloud, caplog: pytest.LogCaptureFixture
) -> None:
    assert python(box, "print(1)").stdout == b"1\n"
    cloud.control(kill=list(cloud.machines()))
    with caplog.at_level(logging.WARNING, "palestra"):
        assert python(box, "print(2)").stdout == b"2\n"
    assert "trying another machine" in caplog.text
    assert box.facts()["e2b/machines_lost"] == 1


def test_a_program_that_nobody_has_talked_with_yet_outlives_its_machine(
    box: E2BSandbox, cloud: LocalCloud
) -> None:
    waiting = box.start(command("print(input())"), PATIENT)
    cloud.control(kill=list(cloud.machines()))
    time.sleep(1.0)
    waiting.write(b"42\n", 10.0)
    assert waiting.read(10, 30.0) == b"42\n"
    assert waiting.end(10.0) == 0
    assert box.facts()["e2b/machines"] == 2


@pytest.mark.slow
def test_a_machine_that_stops_answering_ends_no_program_late(
    box: E2BSandbox, cloud: LocalCloud
) -> None:
    process = box.start(command("print(1, flush=True); input()"), PATIENT)
    assert process.read(10, 30.0) == b"1\n"
    cloud.control(frozen=True)
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        process.read(10, 0.5)
    assert process.end() is None
    assert time.monotonic() - begun < 30.0
    cloud.control(frozen=False)
    assert python(box, "print(2)").stdout == b"2\n"
    assert box.facts()["e2b/machines_lost"] == 1


@pytest.mark.slow
def test_a_machine_is_kept_alive_while_it_is_used_and_no_longer(cloud: LocalCloud) -> None:
    box = E2BSandbox(Settings(machines=1, lifetime_s=3, patience_s=20.0))
    for _ in range(10):
        assert python(box, "print(1)").stdout == b"1\n"
        time.sleep(0.5)
    process = box.start(command("input(); print('still here')"), PATIENT)
    time.sleep(4.0)
    process.write(b"\n", 10.0)
    assert process.read(100, 30.0) == b"still here\n"
    process.end(5.0)
    time.sleep(5.0)
    assert cloud.machines() == {}
    assert python(box, "print(1)").stdout == b"1\n"
    assert box.facts()["e2b/machines"] == 2
    box.close()


@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_where_machines_are_refused_for_now_and_says_so(
    box: E2BSandbox, cloud: LocalCloud, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.control(refuse=2, status=status)
    with caplog.at_level(logging.WARNING, "palestra"):
        assert python(box, "print(1)").stdout == b"1\n"
    said = [each.message for each in caplog.records if "trying again in" in each.message]
    assert len(said) == 2
    assert "too many requests" in said[0]
    assert box.facts()["e2b/requests_put_off"] == 2


def test_it_goes_on_with_fewer_machines_where_more_are_refused(cloud: LocalCloud) -> None:
    cloud.control(most=1)
    box = E2BSandbox(Settings(machines=4, patience_s=20.0))
    begun = time.monotonic()
    held = [box.start(command("input()"), PATIENT) for _ in range((os.cpu_count() or 1) + 1)]
    assert time.monotonic() - begun < 15.0
    assert len(cloud.machines()) == 1
    for process in held:
        process.end()
    box.close()


def test_a_refusal_that_lasts_is_an_error_that_names_the_mend(cloud: LocalCloud) -> None:
    cloud.control(refuse=100)
    box = E2BSandbox(Settings(machines=1, patience_s=3.0))
    with pytest.raises(PluginError, match=r"waited 3 s.*PALESTRA_E2B_MACHINES") as raised:
        python(box, "print(1)")
    assert "\n" not in str(raised.value)


def test_a_program_that_is_refused_for_now_is_started_later(
    box: E2BSandbox, cloud: LocalCloud, caplog: pytest.LogCaptureFixture
) -> None:
    assert python(box, "print(1)").stdout == b"1\n"
    cloud.control(refuse_starts=1)
    with caplog.at_level(logging.WARNING, "palestra"):
        assert python(box, "print(2)").stdout == b"2\n"
    assert "trying again in" in caplog.text
    assert box.facts()["e2b/machines"] == 1


def test_cost_is_the_seconds_of_all_machines_times_the_price(cloud: LocalCloud) -> None:
    box = E2BSandbox(Settings(machines=1, price=3600.0, patience_s=20.0))
    assert box.facts()["e2b/dollars"] == 0.0
    begun = time.monotonic()
    python(box, "print(1)")
    python(box, "print(2)")
    box.close()
    wall, facts = time.monotonic() - begun, box.facts()
    assert facts["e2b/programs"] == 2
    assert 0.1 < facts["e2b/machine_seconds"] <= wall
    assert facts["e2b/dollars"] == pytest.approx(facts["e2b/machine_seconds"])
    time.sleep(0.3)
    assert box.facts() == facts


def test_a_fork_is_told_to_make_its_own_and_leaves_the_machines_alone(
    box: E2BSandbox, cloud: LocalCloud
) -> None:
    assert python(box, "print(1)").stdout == b"1\n"
    inward, outward = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            python(box, "print(1)")
        except PluginError as exc:
            os.write(outward, str(exc).encode())
        box.close()
        os._exit(0)
    os.close(outward)
    with open(inward) as said:
        assert "make one in each process" in said.read()
    os.waitpid(child, 0)
    assert len(cloud.machines()) == 1
    assert python(box, "print(2)").stdout == b"2\n"


def test_a_fork_of_a_process_that_only_imported_it_may_make_one(cloud: LocalCloud) -> None:
    program = """
import os
from palestra.grading.sandbox import Command, Limits
from palestra_e2b.sandbox import E2BSandbox
from palestra_e2b.settings import Settings
if os.fork() == 0:
    box = E2BSandbox(Settings(machines=1))
    done = box.run(Command(argv=("python3", "-c", "print(6 * 7)")), Limits(timeout_s=60.0))
    os.write(1, done.stdout)
    box.close()
    os._exit(0)
os.wait()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120)
    assert done.stdout == b"42\n", done.stderr


def test_without_a_key_one_line_says_where_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("E2B_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"^sandbox 'e2b': E2B_API_KEY is not set\..*https://.*$"):
        E2BSandbox()


def test_a_key_that_is_refused_is_said_before_any_program_runs(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("E2B_API_KEY", "e2b_" + "f" * 40)
    with pytest.raises(ConfigError, match=r"^sandbox 'e2b': the key in E2B_API_KEY is refused"):
        E2BSandbox()


def test_a_server_that_does_not_answer_is_one_line(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("E2B_API_URL", "http://127.0.0.1:9")
    with pytest.raises(PluginError, match=r"^sandbox 'e2b': .*does not answer.*check the network"):
        E2BSandbox()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("MACHINES", "0"), ("MACHINES", "2.5"), ("PRICE", "cheap"), ("PRICE", "-1"), ("PRICE", "nan")],
)
def test_a_setting_that_is_none_names_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("E2B_API_KEY", "e2b_0")
    monkeypatch.setenv(f"PALESTRA_E2B_{variable}", value)
    with pytest.raises(ConfigError, match=f"PALESTRA_E2B_{variable}={value}: not"):
        Settings.from_environment()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2B_API_KEY", "e2b_0")
    monkeypatch.setenv("PALESTRA_E2B_MACHINES", "7")
    monkeypatch.setenv("PALESTRA_E2B_PRICE", "0.5")
    monkeypatch.setenv("PALESTRA_E2B_TEMPLATE", "mine")
    settings = Settings.from_environment()
    assert (settings.machines, settings.price, settings.template) == (7, 0.5, "mine")


def _running(name: bytes) -> list[str]:
    """Return the programs of that name that run on this machine, after a moment's grace."""
    deadline = time.monotonic() + 5.0
    while True:
        found: list[str] = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/cmdline", "rb") as file:
                        if name in file.read().split(b"\0"):
                            found.append(entry)
                except OSError:
                    continue
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)
