"""The learner's critic: values, an update of its own, checkpoints, and two processes."""

from __future__ import annotations

import copy
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from tests.launching import finish
from tests.unit.learner.test_learner import (
    make_batch,
    poisoned,
    same,
    tiny_llama,
    tokenizer,
    weights,
)

from palestra.errors import ConfigError, TrainingError
from palestra.learner.config import OptimConfig
from palestra.learner.critic import CriticLearner
from palestra.learner.learner import Learner, LearnerConfig
from palestra.optimizers.batch import Batch
from palestra_ppo.ppo import PPO, PPOConfig

FIELDS = frozenset({"values"})


def ppo(**options: Any) -> PPO:
    critic = {"from": "policy", **options.pop("critic", {})}
    return PPO(PPOConfig.model_validate({"critic": critic, **options}))


def make_learner(optimizer: PPO, seed: int = 0, budget: int = 60, **optim: Any) -> Learner:
    model = tiny_llama(seed)
    settings = {"learning_rate": 1e-2, "schedule": "cosine", "warmup_steps": 2, **optim}
    return Learner(
        model,
        Accelerator(cpu=True),
        LearnerConfig(
            optim=OptimConfig(**settings),
            total_updates=10,
            token_budget=budget,
            critic_learning_rate=optimizer.critic_learning_rate,
        ),
        pad=0,
        critic=optimizer.critic(model),
    )


def critic_of(learner: Learner) -> Any:
    assert learner._critic is not None
    return learner._critic.module


def rewarded(seed: int = 0) -> Batch:
    batch = make_batch(seed)
    rewards = torch.zeros(batch.total.tokens)
    rewards[batch.lengths_S.cumsum(0) - 1] = batch.scores_S
    return Batch(**{f: getattr(batch, f) for f in batch.__slots__} | {"rewards_T": rewards})


def step(learner: Learner, optimizer: PPO, batch: Batch) -> dict[str, float]:
    batch = learner.annotate(batch, FIELDS)
    return learner.update(batch.with_fields(optimizer.advantages(batch)), optimizer.loss)


@pytest.mark.parametrize("budget", [1, 50, 10_000])
def test_a_value_is_of_the_state_before_its_token(budget: int) -> None:
    learner, batch = make_learner(ppo(), budget=budget), make_batch()
    critic = critic_of(learner)
    torch.nn.init.normal_(critic.head.weight)
    want = []
    for ids, mask in zip(batch.token_ids, batch.loss_mask, strict=True):
        first = int(mask.argmax())
        for place in range(first, len(ids)):  # no later token may be seen
            with torch.no_grad():
                want.append(float(critic(torch.tensor(ids[:place])[None])[0, -1]))
    got = learner.annotate(batch, FIELDS)["values"]
    torch.testing.assert_close(got, torch.tensor(want), atol=1e-5, rtol=1e-5)
    assert float(got.std()) > 0.1


def test_a_critic_learns_what_completions_are_worth() -> None:
    optimizer = ppo(lam=1.0, value_clip=10.0)
    learner, batch = make_learner(optimizer, learning_rate=3e-3), rewarded()
    losses = [step(learner, optimizer, batch)["value_loss"] for _ in range(10)]
    assert losses[-1] < losses[0] / 4


def test_the_critic_has_a_rate_of_its_own_and_follows_the_schedule() -> None:
    optimizer = ppo(critic={"learning_rate": 0.3})
    learner = make_learner(optimizer)
    for _ in range(3):
        metrics = step(learner, optimizer, rewarded())
        (group,) = learner._critic._optimizer.param_groups  # type: ignore[union-attr]
        assert group["lr"] == pytest.approx(30 * metrics["learning_rate"])
    assert metrics["learning_rate"] == pytest.approx(1e-2)  # the warm-up is over
    assert make_learner(ppo())._critic.optim.learning_rate == 1e-2  # type: ignore[union-attr]


@pytest.mark.parametrize("limit", [1e-3, 1e9])
def test_the_critics_gradient_is_clipped_apart_from_the_policys(limit: float) -> None:
    optimizer = ppo()
    learner = make_learner(optimizer, max_grad_norm=limit)
    norms: dict[str, float] = {}

    def spy(name: str, module: torch.nn.Module) -> Any:
        def look() -> None:
            grads = [p.grad.norm() for p in module.parameters() if p.grad is not None]
            norms[name] = float(torch.stack(grads).norm())

        return look

    critic = learner._critic
    assert critic is not None
    learner._optimizer.step = spy("policy", learner.model)
    critic._optimizer.step = spy("critic", critic.module)
    metrics = step(learner, optimizer, rewarded())
    assert metrics["critic_grad_norm"] > 0.01
    assert norms["critic"] == pytest.approx(min(limit, metrics["critic_grad_norm"]), rel=1e-3)
    assert norms["policy"] == pytest.approx(min(limit, metrics["grad_norm"]), rel=1e-3)


def test_an_update_leaves_no_gradient_in_the_critic() -> None:
    optimizer = ppo()
    learner = make_learner(optimizer)
    step(learner, optimizer, rewarded())
    assert all(p.grad is None or not p.grad.any() for p in critic_of(learner).parameters())


def test_a_critic_whose_gradient_is_no_number_stops_the_run(tmp_path: Path) -> None:
    optimizer = ppo()
    learner = make_learner(optimizer)
    learner._rescue = tmp_path / "nan.pt"
    batch = learner.annotate(rewarded(), FIELDS)
    batch = batch.with_fields(optimizer.advantages(batch))
    step(learner, optimizer, rewarded())
    ours, theirs = weights(learner.model), copy.deepcopy(critic_of(learner).state_dict())

    def poison(now: Any, micro: Batch) -> Any:
        honest = optimizer.loss(now, micro)
        bad = (now.values.sum() * 0).sqrt()  # finite, and its gradient is not
        return type(honest)(value=honest.value + bad, metrics=honest.metrics)

    with pytest.raises(TrainingError, match="critic_grad_norm not finite"):
        learner.update(batch, poison)
    assert same(ours, weights(learner.model))
    assert same(theirs, critic_of(learner).state_dict())
    with pytest.raises(TrainingError, match="loss"):
        learner.update(batch, poisoned(optimizer, "loss"))  # type: ignore[arg-type]
    assert all(p.grad is None or not p.grad.any() for p in critic_of(learner).parameters())


def test_a_loaded_learner_and_its_critic_go_on_bit_for_bit(tmp_path: Path) -> None:
    optimizer = ppo(critic={"learning_rate": 3e-3})
    whole = make_learner(optimizer)
    for seed in range(3):
        step(whole, optimizer, rewarded(seed))
    whole.snapshot().write(tmp_path, tokenizer())
    rows = [step(whole, optimizer, rewarded(seed)) for seed in range(3, 6)]

    again = make_learner(optimizer, seed=5)  # other weights: all must come from the folder
    again.load(tmp_path)
    assert [step(again, optimizer, rewarded(seed)) for seed in range(3, 6)] == rows
    assert same(weights(again.model), weights(whole.model))
    assert same(critic_of(again).state_dict(), critic_of(whole).state_dict())


def test_fp16_with_a_critic_is_refused() -> None:
    accelerator: Any = SimpleNamespace(mixed_precision="fp16")
    with pytest.raises(ConfigError, match=r"precision: fp16.*bf16 or fp32"):
        CriticLearner(torch.nn.Linear(1, 1), accelerator, OptimConfig(learning_rate=1), 8, 0)


# --- two processes ---------------------------------------------------------------------------

WORKER = r"""
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from accelerate import Accelerator
from palestra.learner.config import OptimConfig
from palestra.learner.learner import Learner, LearnerConfig
from tests.unit.learner.test_critic import FIELDS, ppo, rewarded, step
from tests.unit.learner.test_learner import tiny_llama

accelerator, folder, out = Accelerator(cpu=True), Path(sys.argv[1]), {}
# Fewer sequences than processes, one long micro-batch against many short ones, and clipped.
for name, rows, budget, limit in [("all", 8, 45, 1e9), ("one", 1, 45, 1e9), ("clip", 7, 20, 0.01)]:
    optimizer, model = ppo(kl=0.0, value_clip=0.01), tiny_llama()
    learner = Learner(model, accelerator, LearnerConfig(
        optim=OptimConfig(learning_rate=1e-3, max_grad_norm=limit, eps=1e-3), total_updates=9,
        token_budget=budget), pad=0, critic=optimizer.critic(model))
    metrics = []
    for seed in range(3):
        batch = rewarded(seed)
        batch = batch.select(range(rows)) if rows < 8 else batch
        metrics.append(step(learner, optimizer, batch))
    bare = accelerator.unwrap_model(learner._critic.module)
    out[name] = {"rows": metrics, "critic": {k: v.clone() for k, v in bare.state_dict().items()},
                 "policy": {k: v.clone() for k, v in learner.model.state_dict().items()}}
    accelerator.free_memory()
torch.save(out, folder / f"{accelerator.num_processes}-{accelerator.process_index}.pt")
accelerator.end_training()
"""


def launch(folder: Path, processes: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []
    for rank in range(processes):
        world = {
            "WORLD_SIZE": str(processes),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "ACCELERATE_USE_CPU": "true",
        }
        root = str(Path(__file__).parents[3])
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}
        env |= world if processes > 1 else {}
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(folder)],
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    finish(running)


@pytest.mark.slow
def test_two_processes_train_policy_and_critic_as_one_does(tmp_path: Path) -> None:
    launch(tmp_path, 1)
    launch(tmp_path, 2)
    one, first, second = (
        torch.load(tmp_path / f"{n}.pt", weights_only=False) for n in ("1-0", "2-0", "2-1")
    )
    for case, want in one.items():
        for part in ("critic", "policy"):
            for name, value in want[part].items():
                torch.testing.assert_close(first[case][part][name], value, atol=1e-5, rtol=1e-4)
                assert torch.equal(first[case][part][name], second[case][part][name])
        for ours, theirs in zip(first[case]["rows"], want["rows"], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
    assert one["clip"]["rows"][0]["critic_grad_norm"] > 0.01
    moved = one["all"]["critic"]["head.weight"]
    assert float(moved.abs().max()) > 1e-4
