"""The sandboxes of this machine: what a program gets, what it does not, and how it ends."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from palestra.errors import ConfigError
from palestra.grading.sandbox import Command, Completed, Limits, Sandbox
from palestra_sandboxes import cgroup, docker, seccomp
from palestra_sandboxes.local import LocalSandbox
from palestra_sandboxes.unsafe import UnsafeSubprocess

PATIENT = Limits(timeout_s=60.0)


@pytest.fixture(params=["bubblewrap", "namespaces"], scope="module")
def local(request: pytest.FixtureRequest) -> Iterator[LocalSandbox]:
    try:
        sandbox = LocalSandbox(by=request.param)
    except ConfigError as exc:
        pytest.skip(str(exc))
    yield sandbox
    sandbox.close()


def python(
    sandbox: Sandbox, source: str, limits: Limits = PATIENT, stdin: bytes = b""
) -> Completed:
    files = {"p.py": textwrap.dedent(source).encode()}
    return sandbox.run(Command(argv=("python3", "-I", "-S", "p.py"), files=files), limits, stdin)


def test_a_program_reads_its_input_and_its_files_and_ends(local: LocalSandbox) -> None:
    done = python(
        local, "import sys; print(sys.stdin.read() * 2, end=''); sys.exit(3)", stdin=b"ab"
    )
    assert done.stdout == b"abab"
    assert done.exit_code == 3
    assert not done.timed_out
    assert not done.truncated


def test_nobodys_files_are_there_and_nothing_but_its_folder_is_written(
    local: LocalSandbox, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("42")
    secret.chmod(0o666)
    done = python(
        local,
        f"""
        import os
        print(os.path.exists({str(secret)!r}), os.path.exists("/home"), os.path.exists("/root"))
        for path in ("/usr/x", "/x", "/dev/x", "/etc/x", "/proc/sys/kernel/hostname"):
            try:
                open(path, "w")
                print("wrote", path)
            except OSError:
                pass
        open("mine", "w").write("x")
        print(sorted(os.listdir()))
        """,
    )
    assert done.stdout.decode().splitlines() == ["False False False", "['mine', 'p.py']"]


def test_installed_packages_are_not_there(local: LocalSandbox) -> None:
    """A benchmark that is installed holds its answers."""
    done = python(
        local,
        """
        import glob, os
        for prefix in ("/python", "/usr", "/usr/local"):
            for folder in glob.glob(f"{prefix}/lib*/python3*/*-packages"):
                print(*os.listdir(folder))
        """,
    )
    assert not done.stdout.split()


def test_there_is_no_network_and_no_other_process(local: LocalSandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = python(
            local,
            f"""
            import os, socket
            try:
                socket.create_connection(("127.0.0.1", {port}), timeout=1)
                print("connected")
            except OSError:
                print("no network")
            print(len([pid for pid in os.listdir("/proc") if pid.isdigit()]) <= 3)
            print(sorted(os.listdir("/proc/self/fd"))[:3])
            """,
        )
    assert done.stdout.decode().splitlines() == ["no network", "True", "['0', '1', '2']"]


def test_a_program_has_no_privilege_and_a_filter(local: LocalSandbox) -> None:
    done = python(local, "print(open('/proc/self/status').read())")
    facts = dict(
        line.split(":\t", 1) for line in done.stdout.decode().splitlines() if ":\t" in line
    )
    assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == int(facts["CapBnd"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    assert facts["Uid"].split()[0] != "0"
    if seccomp.program() is not None:
        assert facts["Seccomp"] == "2"


def test_memory_processes_and_files_have_limits(local: LocalSandbox) -> None:
    limits = Limits(timeout_s=60.0, memory_mb=128, processes=8, file_mb=4)
    done = python(
        local,
        """
        import os
        try:
            bytearray(256 << 20)
        except MemoryError:
            print("memory", flush=True)
        try:
            with open("big", "wb") as file:
                for _ in range(64):
                    file.write(bytes(1 << 20))
        except OSError:
            print("file", flush=True)
        children = []
        try:
            for _ in range(32):
                pid = os.fork()
                if pid == 0:
                    import time
                    time.sleep(60)
                children.append(pid)
        except OSError:
            print("processes", len(children) < 8, flush=True)
        """,
        limits,
    )
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "memory"
    assert lines[-1] == "processes True"
    assert "file" in lines


def test_a_fork_bomb_takes_no_process_from_another_program(local: LocalSandbox) -> None:
    """Two sandboxes of one machine, as two runs have them: limits are each program's own."""
    bomb = b"import os, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(0.01)\n"
    command = Command(argv=("python3", "-I", "-S", "p.py"), files={"p.py": bomb})
    process = local.start(command, PATIENT)
    try:
        time.sleep(0.5)
        other = LocalSandbox(by=local.by)
        source = "import os\npid = os.fork()\nif pid:\n    os.wait()\n    print('forked')\n"
        for _ in range(5):
            assert python(other, source).stdout == b"forked\n"
    finally:
        process.end()


def test_time_and_output_have_limits(local: LocalSandbox) -> None:
    slow = python(local, "while True: pass", Limits(timeout_s=1.0))
    assert slow.timed_out
    assert slow.exit_code is None
    loud = python(local, "while True: print('x' * 1000)", Limits(timeout_s=60, output_bytes=10_000))
    assert loud.truncated
    assert len(loud.stdout) == 10_000


def test_what_a_program_starts_ends_with_it(local: LocalSandbox) -> None:
    marker = f"9{os.getpid()}.5"
    done = python(
        local,
        f"""
        import os
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for fd in (0, 1, 2):
                    os.close(fd)
                os.execvp("sleep", ["sleep", "{marker}"])
            os._exit(0)
        os.wait()
        print("left")
        """,
    )
    assert done.stdout == b"left\n"
    deadline = time.monotonic() + 10.0
    while _running(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running(marker)


def test_a_program_ends_with_the_process_that_started_it(local: LocalSandbox) -> None:
    marker = f"8{os.getpid()}.5"
    source = (
        "import os, sys, time\n"
        "from palestra.grading.sandbox import Command, Limits\n"
        "from palestra_sandboxes.local import LocalSandbox\n"
        f"box = LocalSandbox(by={local.by!r})\n"
        f"box.start(Command(argv=('sleep', {marker!r})), Limits())\n"
        "print('started', flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"started\n"
    deadline = time.monotonic() + 10.0
    while not _running(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _running(marker)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10.0
    while _running(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running(marker)


def _running(marker: str) -> bool:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return any(marker in line and "sleep" in line for line in listed.stdout.splitlines())


def test_where_nothing_confines_it_refuses_and_says_what_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from palestra_sandboxes import bubblewrap, namespaces

    monkeypatch.setattr(bubblewrap, "missing", lambda: "bubblewrap")
    monkeypatch.setattr(namespaces, "missing", lambda: "Linux")
    with pytest.raises(ConfigError) as caught:
        LocalSandbox()
    said = str(caught.value)
    assert "bubblewrap is not installed" in said
    assert "apt install bubblewrap" in said
    assert "unsafe_subprocess" in said
    assert "\n" not in said


def test_without_bubblewrap_user_namespaces_confine(monkeypatch: pytest.MonkeyPatch) -> None:
    from palestra_sandboxes import bubblewrap

    monkeypatch.setattr(bubblewrap, "missing", lambda: "bubblewrap")
    try:
        sandbox = LocalSandbox()
    except ConfigError as exc:
        pytest.skip(str(exc))
    assert sandbox.by == "namespaces"
    assert python(sandbox, "print(1)").stdout == b"1\n"


def test_the_unsafe_sandbox_runs_ends_and_cleans_up() -> None:
    sandbox = UnsafeSubprocess()
    done = python(sandbox, "import os; print(os.getcwd())")
    assert not Path(done.stdout.decode().strip()).exists()
    assert python(sandbox, "while True: pass", Limits(timeout_s=1.0)).timed_out


def test_docker_gets_no_network_no_privilege_and_the_limits() -> None:
    command = Command(argv=("python3", "p.py"))
    line = docker.run_line("n", "image", command, Limits(memory_mb=64, processes=5), 10_240)
    pairs = list(itertools.pairwise(line))
    for pair in (
        ("--network", "none"),
        ("--cap-drop", "ALL"),
        ("--memory", "64m"),
        ("--pids-limit", "5"),
        ("--security-opt", "no-new-privileges"),
    ):
        assert pair in pairs
    assert "--read-only" in line
    assert line[-4:] == ["sh", "10240", "python3", "p.py"]


def test_docker_without_a_daemon_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    if docker.shutil.which("docker") is None:
        pytest.skip("no docker command")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(ConfigError, match=r"^sandbox 'docker': the daemon does not answer: .*$"):
        docker.DockerSandbox()


TOGETHER = """
import os, time
alive = 0
for _ in range(12):
    r, w = os.pipe()
    if os.fork() == 0:
        held = bytearray(os.urandom(1 << 20) * 100)
        os.write(w, b"x")
        time.sleep(30)
    os.close(w)
    alive += os.read(r, 1) == b"x"
print(alive, flush=True)
os.kill(0, 9)
"""


def groups_left() -> list[Path]:
    place = cgroup.parent()
    time.sleep(0.2)
    cgroup._remove_the_last()
    return list(place.glob(f"palestra-{os.getpid()}-*")) if place else []


def test_children_share_one_limit_of_memory_where_control_groups_may_be_made(
    local: LocalSandbox,
) -> None:
    if cgroup.parent() is None:
        pytest.skip("this process may make no control group")
    done = python(local, TOGETHER, Limits(timeout_s=60.0, memory_mb=300))
    alone = Limits(timeout_s=60.0, memory_mb=None)
    assert done.stdout == b"" or int(done.stdout) < 12  # the kernel may have picked any of them
    assert python(local, TOGETHER, alone).stdout == b"12\n"
    assert not groups_left()


def test_no_control_group_is_no_hindrance(
    local: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_groups", None)
    assert python(local, "print(6 * 7)").stdout == b"42\n"
    monkeypatch.setattr(local, "_groups", Path("/sys/fs/cgroup/no/such/place"))
    assert python(local, "print(6 * 7)").stdout == b"42\n"


def test_groups_of_processes_that_are_no_more_are_swept_away() -> None:
    place = cgroup.parent()
    if place is None:
        pytest.skip("this process may make no control group")
    left = place / "palestra-99999999-0"
    left.mkdir()
    assert cgroup.parent() == place
    assert not left.exists()
