"""The code environments: what they ask, that their references pass, and what is bad about a file."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from gymnasium.utils.env_checker import check_env

from palestra.envs import Task
from palestra.errors import ConfigError, DataError
from palestra.grading import sandbox as sandboxes
from palestra_code.competition import CompetitionEnv
from palestra_code.dataset import DatasetEnv
from palestra_code.humaneval import HumanEvalEnv
from palestra_code.mbpp import MBPPEnv
from palestra_code.mutate import mutants
from palestra_code.plugin import palestra_environments
from palestra_code.program_env import ProgramEnv, program_of
from palestra_code.repair import RepairEnv
from palestra_sandboxes.local import LocalSandbox

HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": "import math\n\ndef half(n):\n    return n / 2\n\ndef quarter(n):\n    '''A quarter of n.'''\n",
    "entry_point": "quarter",
    "canonical_solution": "    return half(half(n))\n",
    "test": "def check(candidate):\n    assert math.isclose(candidate(4), half(2))\n    assert candidate(8) == 2\n",
}
MBPP = {
    "task_id": 600,
    "prompt": "Write a function to double a number.",
    "code": "def double(n):\n    return 2 * n",
    "test_imports": ["import math"],
    "test_list": ["assert double(4) == 8", "assert math.isclose(double(0.5), 1.0)"],
}
ROW = {
    "question": "Write a function f that returns the square of n.",
    "tests": [{"function": "f", "args": [3], "expected": 9}],
    "solution": "def f(n):\n    return n * n",
}
CONTEST = {
    "question": "Read a number and print its double.",
    "tests": {"inputs": ["4\n", "5\n"], "outputs": ["8\n", "10\n"]},
    "solution": "print(2 * int(input()))",
}


@pytest.fixture(autouse=True, scope="module")
def _sandbox() -> None:
    try:
        sandboxes._open.setdefault("local", LocalSandbox())
    except ConfigError as exc:
        pytest.skip(str(exc))


def written(folder: Path, *rows: object, name: str = "rows.jsonl") -> str:
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(path)


MAKERS: dict[str, Callable[[Path], ProgramEnv]] = {
    "HumanEval": lambda folder: HumanEvalEnv(written(folder, HUMANEVAL)),
    "MBPP": lambda folder: MBPPEnv(written(folder, [MBPP])),
    "Dataset": lambda folder: DatasetEnv(written(folder, ROW), split="train"),
    "Competition": lambda folder: CompetitionEnv(written(folder, CONTEST), split="train"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_reference_earns_all_and_cheats_nothing(name: str, tmp_path: Path) -> None:
    env = MAKERS[name](tmp_path)
    env.env_id = f"code/{name}-v1"
    split = next(split for split in ("train", "validation", "test") if env.tasks(split))
    env.reset(options={"split": split, "index": 0})
    task = env.task
    assert task is not None
    completion = env.reference_completion(task)
    assert completion is not None
    _, reward, terminated, truncated, info = env.step(completion)
    assert (reward, terminated, truncated) == (1.0, True, False), info["reason"]
    assert info["extracted_answer"].strip()
    for probe in env.probes(task):
        assert env.grade(task, probe).value == 0.0


def test_the_prompt_shows_no_test_of_the_reference(tmp_path: Path) -> None:
    env = HumanEvalEnv(written(tmp_path, HUMANEVAL))
    assert "isclose" not in str(env.tasks("test")[0].prompt)


def test_a_helper_of_the_prompt_cannot_be_turned_against_its_check(tmp_path: Path) -> None:
    row = {**HUMANEVAL, "test": "def check(candidate):\n    assert half(candidate(4)) == 0.5\n"}
    env = HumanEvalEnv(written(tmp_path, row))
    cheat = "def half(n):\n    return 0.5\ndef quarter(n):\n    return 7"
    task = env.tasks("test")[0]
    assert env.grade(task, f"</think><answer>{cheat}</answer>").value == 0.0
    right = "def quarter(n):\n    return half(half(n))"  # the prompt's helper is there to be used
    assert env.grade(task, f"</think><answer>{right}</answer>").value == 1.0


def test_without_an_answer_it_is_unparsable(tmp_path: Path) -> None:
    env = MAKERS["Dataset"](tmp_path)
    score = env.grade(env.tasks("train")[0], "def f(n): return n * n")
    assert str(score.status) == "unparsable"
    assert score.value == 0.0


def test_the_last_fenced_block_of_the_answer_is_the_program() -> None:
    text = "<think>```python\nno\n```</think><answer>So:\n```python\na\n```\nor\n```py\nb\n```</answer>"
    assert program_of(text) == "b\n"
    assert program_of("</think><answer>x = 1</answer>") == "x = 1"
    assert program_of("<answer>x = 1</answer></think>") is None


def test_fractions_are_asked_for(tmp_path: Path) -> None:
    row = {**ROW, "tests": [*ROW["tests"], {"function": "f", "args": [2], "expected": 5}]}
    for reward, value in (("all", 0.0), ("fraction", 0.5)):
        env = DatasetEnv(written(tmp_path, row), split="train", reward=reward)
        task = env.tasks("train")[0]
        completion = env.reference_completion(task)
        assert completion is not None
        assert env.grade(task, completion).value == value


def test_packed_data_are_read(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(HUMANEVAL).encode()))
    assert len(HumanEvalEnv(str(path)).tasks("test")) == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "x"}, "no field 'tests'. The row has: question"),
        ({"question": "x", "test": []}, "no field 'tests'. Did you mean 'test'?"),
        ({"question": "x", "tests": []}, "a problem without tests"),
        ({"question": "x", "tests": "[1"}, "its tests are not JSON"),
        ({"question": "x", "tests": [1]}, "no list of objects"),
        ({"question": "x", "tests": [{"stdin": "1"}]}, "test 1: no field 'stdout'"),
        ([1], "expected an object"),
    ],
)
def test_a_bad_row_is_named(row: object, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, ROW, row)
    with pytest.raises(DataError, match=re.escape(f"{path}:2: ")) as caught:
        DatasetEnv(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file"):
        MBPPEnv(str(tmp_path / "absent.json"))
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b'{"question": "\xff"}')
    with pytest.raises(DataError, match="not UTF-8"):
        DatasetEnv(str(bad))
    bad.write_text("")
    with pytest.raises(DataError, match="no rows"):
        DatasetEnv(str(bad))


def test_a_contest_with_more_inputs_than_outputs_is_refused(tmp_path: Path) -> None:
    row = {**CONTEST, "tests": {"inputs": ["1"], "outputs": []}}
    with pytest.raises(DataError, match="1 inputs and 0 outputs"):
        CompetitionEnv(written(tmp_path, row))
    with pytest.raises(DataError, match="no field 'stdin'"):
        CompetitionEnv(written(tmp_path, ROW))
    with pytest.raises(ConfigError, match="no language 'rust'"):
        CompetitionEnv(written(tmp_path, CONTEST), programming_language="rust")


def repair(seed: int) -> tuple[RepairEnv, Task]:
    env = RepairEnv(timeout_s=20.0)
    env.env_id = "code/Repair-v1"
    env.reset(seed=seed)
    assert env.task is not None
    return env, env.task


@pytest.mark.parametrize("seed", range(5))
def test_a_repair_is_won_at_any_turn_and_the_bug_itself_never_wins(seed: int) -> None:
    env, task = repair(seed)
    for probe in env.probes(task):
        said, reward, terminated, truncated, info = env.step(probe)
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert said.startswith("Not yet: test ")
        assert info["reward_status"] == "ok"
    completion = env.reference_completion(task)
    assert completion is not None
    _, reward, terminated, _, _ = env.step(completion)
    assert (reward, terminated) == (1.0, True)


def test_a_repair_is_lost_after_three_turns() -> None:
    env, task = repair(7)
    broken = next(iter(env.probes(task)))
    ends = [env.step(action)[1:4] for action in (broken, "no answer", broken)]
    assert ends == [(0.0, False, False), (0.0, False, False), (0.0, True, False)]


def test_mutants_differ_in_one_place_and_compile() -> None:
    source = (
        "def f(a, b):\n    if a < b and not a == 3:\n        return a + b * 2\n    return True\n"
    )
    found = list(mutants(source))
    assert len({mutant.source for mutant in found}) == len(found) >= 8
    for mutant in found:
        compile(mutant.source, "mutant", "exec")


def test_every_declared_environment_is_there() -> None:
    import importlib

    for spec in palestra_environments():
        module, _, name = spec.entry_point.partition(":")
        assert hasattr(importlib.import_module(module), name), spec.name


def test_repair_is_a_gymnasium_environment() -> None:
    env = RepairEnv()
    env.env_id = "code/Repair-v1"
    check_env(env, skip_render_check=True)
