"""A run with a critic, or with process rewards, is the same run when it is killed and resumed."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.run.conftest import CUT, facts, start

pytestmark = pytest.mark.slow

PPO = "{type: ppo, critic: {from: policy, learning_rate: 5.0e-4}, kl: 0.02, lam: 1.0}"
OPTIONS = (
    *("--only", "zero", "--set", f"stages.zero.optimizer={PPO}"),
    *("--set", "stages.zero.mini_batches=2", "--set", "stages.zero.save_steps=2"),
    *("--set", "stages.zero.reference_every=6", "--set", "stages.zero.steps=8"),
)


def test_ppo_killed_again_and_again_ends_with_the_same_numbers(palestra, tmp_path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    code, _, err = palestra("run", CUT, "--output", whole, *OPTIONS)
    assert code == 0, err
    metrics = folder / "stages" / "02-zero" / "metrics.jsonl"
    chance = random.Random(1)
    for rows in (1, 3, 5):  # past no checkpoint, past the first, past the second
        resume = ["--resume"] if rows > 1 else []
        process = start("run", CUT, "--output", folder, *OPTIONS, *resume)
        deadline = time.monotonic() + 200
        while not metrics.exists() or len(metrics.read_text().splitlines()) < rows:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.01)
        time.sleep(chance.random() * 0.2)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    code, _, err = palestra("run", CUT, "--output", folder, *OPTIONS, "--resume")
    assert code == 0, err
    assert "going on from step 4" in " ".join(err.split())
    assert facts(folder) == facts(whole)
    (place,) = (whole / "stages" / "02-zero" / "checkpoints").glob("step-000008")
    assert (place / "critic.pt").is_file()


def test_a_damaged_critic_is_a_damaged_checkpoint(palestra, tmp_path) -> None:
    folder = tmp_path / "run"
    code, _, err = palestra("run", CUT, "--output", folder, *OPTIONS)
    assert code == 0, err
    before = facts(folder)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"finished": true', '"finished": false'))
    newest = sorted((folder / "stages" / "02-zero" / "checkpoints").glob("step-*"))[-1]
    (newest / "critic.pt").write_bytes(b"rubbish")
    code, _, err = palestra("run", CUT, "--output", folder, *OPTIONS, "--resume")
    assert code == 0, err
    assert "critic.pt does not match its checksum" in " ".join(err.split())
    assert facts(folder) == before


LINES = '''
from palestra import Score, SingleTurnEnv, Task, environment


@environment("acme/Count-v1")
class Count(SingleTurnEnv):
    """Say the numbers; each one that is said right is a step."""

    def sample(self, rng, difficulty):
        first = int(rng.integers(1, 10**6))
        return Task(prompt=f"{first}+1=", reference=str(first + 1))

    def grade(self, task, completion):
        digits = [i for i, c in enumerate(completion) if c.isdigit()]
        steps = tuple((i + 1, float(completion[i] in task.reference)) for i in digits[:8])
        right = float(task.reference in completion)
        return Score(value=right, components={"accuracy": right}, steps=steps)

    def reference_completion(self, task):
        return task.reference
'''

RECIPE = """\
name: steps
model: tiny
plugins: [./count.py]
engine: {threads: 1, token_budget: 2048}
mixtures:
  counting: {sources: [{env: acme/Count-v1, rewards: {accuracy: 1.0, steps: 0.5}}]}
stages:
  zero:
    type: rl
    init_from: base
    mixture: counting
    steps: 2
    prompts_per_step: 4
    group_size: 4
    sampling: {max_tokens: 24}
    optimizer: {type: grpo_process}
    optim: {learning_rate: 1.0e-4}
"""


def test_process_rewards_come_out_of_a_plugins_worker(palestra, tmp_path) -> None:
    import pyarrow.parquet as pq

    (tmp_path / "count.py").write_text(LINES)
    (tmp_path / "steps.yaml").write_text(RECIPE)
    code, _, err = palestra("run", "steps.yaml", "--output", "run", cwd=tmp_path)
    assert code == 0, err
    rows = pq.read_table(tmp_path / "run/stages/01-zero/rollouts/step-000002.parquet").to_pylist()
    assert any('"steps"' in row["components"] for row in rows)
    assert any(0 < row["reward"] < 1 for row in rows)


def test_a_source_that_names_steps_where_there_are_none_is_one_clear_line(
    palestra, tmp_path
) -> None:
    recipe = RECIPE.replace("acme/Count-v1", "math/Arithmetic-v1").replace("[./count.py]", "[]")
    (tmp_path / "steps.yaml").write_text(recipe)
    code, _, err = palestra("run", "steps.yaml", "--output", "run", cwd=tmp_path)
    assert code == 2
    assert "steps" in err
    assert "Traceback" not in err
