"""Environments in worker processes: what hangs, crashes or lies there stays there."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from palestra.errors import ConfigError, EnvironmentFailed, PalestraError
from palestra.grading import pool
from palestra.grading.isolation import IsolatedEnv, close_workers, open_env
from palestra.plugins.registry import Registry, get_registry, reset_registry

SOURCE = """
import os, sys, time
from palestra import MultiTurnEnv, Score, SingleTurnEnv, Task, Turn, environment, single_turn

def grade(task, completion):
    if completion == "sleep": time.sleep(1000)
    if completion == "spin":
        while True: pass
    if completion == "exit": os._exit(3)
    if completion == "kill": os.kill(os.getpid(), 9)
    if completion == "raise": raise ValueError("no such luck")
    if completion == "child":
        if os.fork() == 0: time.sleep(1000)
        time.sleep(1000)
    if completion == "print": print("x" * 100_000)
    if completion == "nan": return float("nan")
    if completion == "high": return 7.0
    if completion == "text": return "1"
    return float(completion == task.reference)

@single_turn("mine/Add-v1", grade=grade)
def add(rng, difficulty):
    a, b = rng.integers(100, size=2)
    return Task(prompt=f"What is {a} + {b}?", reference=str(a + b), metadata={"pair": (1, 2)})

add.step_timeout_s = 0.3

@environment("mine/Chat-v1")
class Chat(MultiTurnEnv):
    step_timeout_s = 0.3
    def sample(self, rng, difficulty):
        return Task(prompt=f"count from {int(rng.integers(1000))}", reference="x")
    def begin(self, task):
        self.turns = 0
        return task.prompt
    def respond(self, task, action):
        if action == "sleep": time.sleep(99)
        self.turns += 1
        return Turn(observation=f"turn {self.turns}", score=Score(value=0.25), done=self.turns == 3)

@environment("mine/Group-v1")
class Group(SingleTurnEnv):
    step_timeout_s = 1.0
    def sample(self, rng, difficulty):
        return Task(prompt=f"What is {rng.integers(1000)}?", reference=("a", 1))
    def grade_group(self, task, completions):
        assert task.reference == ("a", 1)
        if "sleep" in completions: time.sleep(99)
        if "exit" in completions: os._exit(3)
        if "raise" in completions: raise ValueError("no such luck")
        return [float(len(completions)) if c == "many" else 0.5 for c in completions]

@environment("mine/Broken-v1")
class Broken(SingleTurnEnv):
    def __init__(self):
        raise RuntimeError("no licence")

@environment("mine/Listed-v1")
class Listed(SingleTurnEnv):
    def tasks(self, split):
        return [Task(prompt=f"{split} {i}?", reference=str(i), language="en") for i in range(5)]
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    reset_registry()
    file = tmp_path_factory.mktemp("plugins") / "mine.py"
    file.write_text(SOURCE)
    registry = get_registry()
    registry.add_local(file)
    yield registry
    close_workers()
    reset_registry()


@pytest.fixture
def env(registry: Registry) -> IsolatedEnv:
    env = open_env(registry, "mine/Add-v1", {})
    assert isinstance(env, IsolatedEnv)
    return env


def children() -> set[int]:
    """Every process that descends from this one."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    parents = {int(p): int(q) for p, q in (line.split() for line in listed.splitlines())}
    found = {os.getpid()}
    while more := {p for p, q in parents.items() if q in found} - found:
        found |= more
    return found - {os.getpid()}


def test_an_isolated_environment_behaves_as_the_one_inside(
    env: IsolatedEnv, registry: Registry
) -> None:
    inside = registry.make_env("mine/Add-v1")
    for seed in range(5):
        assert env.reset(seed=seed) == inside.reset(seed=seed)
        assert inside.task is not None
        assert env.task is not None
        assert (env.task.prompt, env.task.reference) == (inside.task.prompt, inside.task.reference)
        completion = env.reference_completion(env.task)
        assert completion == inside.reference_completion(inside.task)
        for action in (str(env.task.reference), "no"):
            env.reset(seed=seed)
            inside.reset(seed=seed)
            assert env.step(action) == inside.step(action)


@pytest.mark.parametrize(
    ("action", "status", "reason"),
    [
        ("sleep", "timeout", "no answer within 0.3 s"),
        ("spin", "timeout", "no answer within 0.3 s"),
        ("child", "timeout", "no answer within 0.3 s"),
        ("exit", "error", "its process was lost"),
        ("kill", "error", "its process was lost"),
        ("raise", "error", "ValueError: no such luck"),
        ("nan", "error", "must be finite, not nan"),
        ("high", "error", r"the score 7 is outside the reward_range [0, 1]"),
        ("text", "error", "returned '1', and should return a Score or a number"),
    ],
)
def test_a_failed_grader_is_a_status_and_never_a_wrong_answer(
    env: IsolatedEnv, action: str, status: str, reason: str
) -> None:
    env.reset(seed=1)
    started = time.monotonic()
    _, reward, terminated, truncated, info = env.step(action)
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert (info["reward_status"], info["reward_valid"]) == (status, False)
    assert reason in info["reason"]
    assert info["reward_components"] == {}
    assert info["messages"][-1] == {"role": "assistant", "content": action}
    assert time.monotonic() - started < 5.0


@pytest.fixture
def one_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    close_workers()
    monkeypatch.setattr(pool, "WORKERS", 1)
    yield
    close_workers()


@pytest.mark.usefixtures("one_worker")
def test_the_others_of_a_lost_worker_go_on_where_they_were(registry: Registry) -> None:
    first, second = (open_env(registry, "mine/Chat-v1", {}) for _ in range(2))
    first.reset(seed=1)
    second.reset(seed=2)
    first.step("a")
    second.step("b")
    first.step("c")
    assert second.step("sleep")[4]["reward_status"] == "timeout"
    observation, _, terminated, _, info = first.step("d")
    assert (observation, terminated) == ("turn 3", True)
    assert [m["content"] for m in info["messages"] if m["role"] == "assistant"] == ["a", "c", "d"]


@pytest.mark.usefixtures("one_worker")
def test_what_cannot_be_played_again_is_an_error_of_that_episode(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (open_env(registry, "mine/Chat-v1", {}) for _ in range(2))
    assert isinstance(first, IsolatedEnv)
    monkeypatch.setattr(first._pool, "deterministic", False)
    first.reset(seed=1)
    second.reset(seed=2)
    second.step("sleep")
    info = first.step("a")[4]
    assert info["reward_status"] == "error"
    assert "cannot be played again" in info["reason"]


def test_killed_workers_and_what_they_started_leave_no_process(env: IsolatedEnv) -> None:
    env.reset(seed=0)
    before = children()
    for action in ("sleep", "child", "exit", "child"):
        env.reset(seed=0)
        env.step(action)
    after = children()
    assert len(after) == len(before), "a process of a killed worker is left"


def test_replacing_a_worker_takes_milliseconds(env: IsolatedEnv) -> None:
    env.reset(seed=0)
    started = time.monotonic()
    for _ in range(20):
        env.reset(seed=0)
        env.step("exit")
    assert (time.monotonic() - started) / 20 < 0.25  # a new interpreter takes over half a second


def test_workers_end_with_the_process_that_made_them_however_it_ends(
    registry: Registry, tmp_path: Path
) -> None:
    file = registry.local_files[0]
    program = (
        "from palestra.plugins.registry import get_registry\n"
        "from palestra.grading.isolation import open_env\n"
        "import subprocess, time\n"
        f"get_registry().add_local({str(file)!r})\n"
        "env = open_env(get_registry(), 'mine/Add-v1', {})\n"
        "print(env._worker._host._process.pid, env._worker._pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/exe").exists() for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)


def test_workers_outlive_the_thread_that_opened_them(registry: Registry) -> None:
    close_workers()
    with ThreadPoolExecutor(1) as threads:
        env = threads.submit(open_env, registry, "mine/Add-v1", {}).result()
    statuses: list[str] = []
    for action in ("exit", "1"):
        env.reset(seed=0)
        statuses.append(env.step(action)[4]["reward_status"])
    assert statuses == ["error", "ok"]


def test_a_lost_fork_server_is_one_clear_line(registry: Registry) -> None:
    close_workers()
    env = open_env(registry, "mine/Add-v1", {})
    assert isinstance(env, IsolatedEnv)
    env.reset(seed=0)
    env._pool._host._process.kill()
    env._pool._host._process.wait()
    with pytest.raises(EnvironmentFailed, match=r"mine/Add-v1: the process that starts its work"):
        env.step("exit")
    close_workers()


def test_what_an_environment_prints_is_not_in_the_way(env: IsolatedEnv) -> None:
    env.reset(seed=0)
    assert env.step("print")[4]["reward_status"] == "ok"


def test_the_errors_of_its_own_process_are_the_callers(registry: Registry) -> None:
    with pytest.raises(EnvironmentFailed, match=r"mine/Broken-v1.*RuntimeError: no licence"):
        open_env(registry, "mine/Broken-v1", {})
    with pytest.raises(ConfigError, match="It takes: no arguments"):
        open_env(registry, "mine/Add-v1", {"digits": 3})
    env = open_env(registry, "mine/Add-v1", {})
    with pytest.raises(ConfigError, match=r"unknown option 'splt' of reset. Did you mean 'split'"):
        env.reset(seed=0, options={"splt": "test"})
    with pytest.raises(ConfigError, match="plain data"):
        open_env(registry, "mine/Add-v1", {"digits": object()})


def test_an_import_that_hangs_ends_at_its_deadline(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "OPEN_TIMEOUT_S", 2.0)
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import os, time\n"
        f"if os.getpid() != {os.getpid()}: time.sleep(1000)\n"
        "from palestra import Task, single_turn\n"
        "@single_turn('slow/Add-v1')\n"
        "def add(rng, difficulty): return Task(prompt='?', reference='1')\n"
    )
    other = Registry(installed=True)
    other.add_local(slow)
    with pytest.raises(PalestraError, match="not imported within 2 s"):
        open_env(other, "slow/Add-v1", {})


def test_tasks_are_counted_where_they_are_listed(registry: Registry) -> None:
    env = open_env(registry, "mine/Listed-v1", {})
    assert env.count("test") == 5
    assert env.count("test", "en") == 5
    assert env.count("test", "de") == 0
    assert open_env(registry, "mine/Add-v1", {}).count("test") is None


def test_a_copy_is_another_episode_of_the_same_worker(env: IsolatedEnv) -> None:
    other = copy.copy(env)
    first, _ = env.reset(seed=1)
    second, _ = other.reset(seed=2)
    assert first != second
    assert env.task is not None
    assert env.step(str(env.task.reference))[1] == 1.0


def test_stepping_before_a_reset_is_the_callers_mistake(registry: Registry) -> None:
    import gymnasium

    env = open_env(registry, "mine/Add-v1", {})
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("1")
    env.reset(seed=0)
    env.step("1")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("1")


def test_gradings_in_many_threads_are_none_lost_and_none_wrong(registry: Registry) -> None:
    expected = {"sleep": "timeout", "exit": "error", "raise": "error"}

    def grade(number: int) -> bool:
        env = open_env(registry, "mine/Add-v1", {})
        env.reset(seed=number)
        assert env.task is not None
        failing = {50: "sleep", 90: "sleep", 20: "exit", 60: "exit", 61: "exit", 99: "raise"}
        right = str(env.task.reference)
        action = failing.get(number, right if number % 2 else "no")
        _, reward, _, _, info = env.step(action)
        return (info["reward_status"], reward) == (
            expected.get(action, "ok"),
            float(action == right),
        )

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(grade, range(120)))


def group(registry: Registry, *completions: str) -> list[tuple[float, dict[str, object]]]:
    envs = [open_env(registry, "mine/Group-v1", {}) for _ in completions]
    for env, completion in zip(envs, completions, strict=True):
        env.reset(seed=1)
        assert env.step(completion)[4]["reward_status"] == "pending"
    return envs[0].settle(envs[1:])


def test_a_group_is_judged_in_one_worker_whichever_its_episodes_were_in(registry: Registry) -> None:
    settled = group(registry, "x", "y", "z", "x", "x")
    assert [(reward, info["reward_status"]) for reward, info in settled] == [(0.5, "ok")] * 5


@pytest.mark.parametrize(
    ("completion", "status", "says"),
    [
        ("sleep", "timeout", "no answer within 1 s"),
        ("exit", "error", "its process was lost"),
        ("raise", "error", "no such luck"),
        ("many", "error", "outside the reward_range"),
    ],
)
def test_a_groups_judge_that_hangs_or_dies_costs_its_group_alone(
    registry: Registry, completion: str, status: str, says: str
) -> None:
    settled = group(registry, "x", completion)
    reward, info = settled[1]
    assert (reward, info["reward_status"], info["reward_valid"]) == (0.0, status, False)
    assert says in str(info["reason"])
    assert [info["reward_status"] for _, info in group(registry, "x", "y")] == ["ok", "ok"]
