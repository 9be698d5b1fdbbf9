"""Two processes under gloo take the same update as one, each with all weights or with its shards."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.launching import finish

# What each process runs; one process runs the very same.
WORKER = r"""
import json, os, sys
from pathlib import Path
import numpy as np
import torch
torch.set_num_threads(1)
from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig
from palestra.learner.config import OptimConfig
from palestra.learner.learner import Learner, LearnerConfig, supervised_loss
from palestra.learner.packing import pack_examples
from palestra.learner.launch import launched
from palestra.optimizers.batch import Batch, Totals
from palestra.optimizers.grpo import GRPO, GRPOConfig

accelerator = launched(cpu=True)
folder = Path(sys.argv[1])
SIZES = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
             num_attention_heads=2, num_key_value_heads=1, initializer_range=0.2)
MODELS = {
    "llama": LlamaConfig(**SIZES),
    "tied": LlamaConfig(**SIZES, tie_word_embeddings=True),
    "logits": Gemma2Config(**SIZES, head_dim=16, final_logit_softcapping=5.0),
}

def batch_of(lengths, scores, group):
    random = np.random.default_rng(len(lengths))
    batch = pack_examples([(random.integers(3, 64, p).tolist(), random.integers(3, 64, c).tolist())
                           for p, c in lengths])
    more = {"scores_S": torch.tensor(scores), "group_S": torch.arange(len(lengths)) // group}
    return Batch(**{f: getattr(batch, f) for f in batch.__slots__} | more)

# One long sequence; one group has no signal.
UNEVEN = ([(3, 40), (3, 9), (3, 20), (3, 7), (2, 5), (2, 6), (2, 7), (2, 31), (5, 3), (5, 4), (5, 2)],
          [1.0, 0.0, 0.0, 0.5, 0.7, 0.7, 0.7, 0.7, 1.0, 0.0, 0.0], 4)
ODD = ([(3, 9)], [1.0], 1)  # fewer sequences than processes
ONE_SIGNAL = ([(3, 9), (3, 4), (3, 2), (3, 3)], [1.0, 0.0, 0.2, 0.2], 2)

def run(model="llama", data=UNEVEN, budget=45, kl=0.0, aggregate="token", updates=3, mini=1,
        sft=False, advantages=None, max_grad_norm=1e9, entropy=False):
    torch.manual_seed(0)
    net = AutoModelForCausalLM.from_config(MODELS[model]).eval()
    optimizer = GRPO(GRPOConfig(kl=kl, aggregate=aggregate))
    learner = Learner(net, accelerator, LearnerConfig(
        optim=OptimConfig(learning_rate=1e-3, max_grad_norm=max_grad_norm, weight_decay=0.01, eps=1e-3),
        total_updates=9, token_budget=budget, temperature=0.8, keep_reference=kl > 0,
        reference_every=2 if kl else 0, entropy=entropy,
        skip_zero_advantage=optimizer.zero_advantage_is_zero_loss), pad=0)
    batch = batch_of(*data)
    rows, fields, filled = [], [], []
    for number in range(updates):
        if sft:
            rows.append(learner.update(batch, supervised_loss))
            continue
        needs = set(optimizer.needs) - (set() if mini > 1 else {"old_logprobs"})
        rollout = learner.annotate(batch, frozenset(needs))
        fields.append([round(float(v.sum()), 9) for v in rollout.fields.values()])
        rollout = rollout.with_fields(optimizer.advantages(rollout))
        if advantages is not None:
            rollout = rollout.with_fields({"advantages": rollout["advantages"] * advantages})
        filled.append([bool(share) for share in learner._my_share(rollout)])
        for part in rollout.mini_batches(mini, np.random.default_rng(number)):
            rows.append(learner.update(part, optimizer.loss))
    weights = {k: v.clone() for k, v in learner.named_tensors()}
    held = sum(getattr(p, "ds_tensor", p.to_local() if hasattr(p, "to_local") else p).numel()
               for p in net.parameters())
    accelerator.free_memory()
    return {"rows": rows, "fields": fields, "weights": weights, "filled": filled, "held": held}

cases = json.loads(sys.argv[2])
out = {}
for name, options in cases.items():
    if "data" in options:
        options["data"] = globals()[options["data"]]
    out[name] = run(**options)

# A loss that is no number on one process alone must stop both.
from palestra.errors import TrainingError
from palestra.optimizers.base import Loss
torch.manual_seed(0)
learner = Learner(AutoModelForCausalLM.from_config(MODELS["llama"]), accelerator,
                  LearnerConfig(optim=OptimConfig(learning_rate=1e-3), total_updates=1, token_budget=45),
                  pad=0, rescue=folder / "rescue.pt")
def poison(now, batch):
    bad = float("nan") if any(len(ids) == 43 for ids in batch.token_ids) else 1.0
    return Loss(value=-now.logprobs.sum() / batch.total.tokens * bad)
before = {k: v.clone() for k, v in learner.named_tensors()}
try:
    learner.update(batch_of(*UNEVEN), poison)
except TrainingError as exc:
    out["nan"] = {"message": str(exc), "same": all(
        torch.equal(before[k], v) for k, v in learner.named_tensors())}

torch.save(out, folder / f"{accelerator.num_processes}-{accelerator.process_index}.pt")
accelerator.end_training()
"""

CASES: dict[str, dict[str, Any]] = {
    "grpo": {},
    "grpo, one sequence a micro-batch": {"budget": 1},
    "grpo, more micro-batches in one process": {"budget": 95},
    "grpo, clipped": {"max_grad_norm": 0.01},
    "grpo, mean of sequences": {"aggregate": "sequence"},
    "grpo, kl and reference": {"kl": 0.1, "model": "tied"},
    "grpo, mini-batches": {"mini": 3},
    "grpo through logits": {"model": "logits"},
    "grpo with entropy": {"entropy": True},
    "fewer sequences than processes": {"data": "ODD", "sft": True},
    "one sequence with signal a process": {"data": "ONE_SIGNAL"},
    "no signal at all": {"advantages": 0.0},
    "sft": {"sft": True, "model": "tied"},
}


FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
}
ZERO = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}
SPREAD: dict[str, dict[str, str]] = {
    "ddp": {},
    "fsdp2": FSDP2,
    "zero2": ZERO,
    "zero3": ZERO | {"ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"},
}


def launch(folder: Path, processes: int, spread: str = "ddp") -> None:
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
            **SPREAD[spread],
        }
        env = {**os.environ, "OMP_NUM_THREADS": "1", **(world if processes > 1 else {})}
        command = [sys.executable, "-c", WORKER, str(folder), json.dumps(CASES)]
        running.append(
            subprocess.Popen(
                command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
    finish(running)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    launch(folder, 1)
    return folder


@pytest.fixture(scope="module", params=SPREAD)
def results(request: pytest.FixtureRequest, alone: Path) -> dict[str, Any]:
    folder = alone
    if request.param.startswith("zero"):
        pytest.importorskip("deepspeed")
    launch(folder, 2, request.param)
    names = {"one": "1-0", "first": "2-0", "second": "2-1"}
    out = {k: torch.load(folder / f"{v}.pt", weights_only=False) for k, v in names.items()}
    rescue = folder / "rescue.pt"
    out["rescue"], out["sharded"] = rescue.is_file(), request.param in ("fsdp2", "zero3")
    rescue.unlink(missing_ok=True)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_take_the_update_of_one(case: str, results: dict[str, Any]):
    one, first, second = (results[k][case] for k in ("one", "first", "second"))
    for name, value in one["weights"].items():
        torch.testing.assert_close(first["weights"][name], value, atol=1e-5, rtol=1e-5)
        assert torch.equal(first["weights"][name], second["weights"][name])
    assert len(first["rows"]) == len(one["rows"])
    for ours, other, theirs in zip(first["rows"], second["rows"], one["rows"], strict=True):
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            assert ours[key] == pytest.approx(value, rel=1e-4, abs=1e-6), key
            assert other[key] == ours[key], key
    for ours, theirs in zip(first["fields"], one["fields"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    assert first["fields"] == second["fields"]
    assert [len(f) for f in first["filled"]] == [len(f) for f in second["filled"]]


@pytest.mark.slow
def test_the_cases_hold_what_they_are_meant_to(results: dict[str, Any]):
    """Otherwise equality would prove little."""
    rows = results["one"]["grpo"]["rows"]
    assert rows[0]["grad_norm"] > 1e-2
    assert rows[0]["tokens_trained"] == 40 + 9 + 20 + 7 + 3 + 4 + 2  # the silent group was skipped
    assert results["one"]["grpo, clipped"]["rows"][0]["grad_norm"] > 0.01
    assert results["one"]["no signal at all"]["rows"][0]["tokens_trained"] == 0
    case = "grpo, more micro-batches in one process"
    assert results["first"][case]["filled"][0] == [True, True]
    assert results["second"][case]["filled"][0] == [True, False]  # it runs along, and adds nothing
    held = [results[who]["grpo"]["held"] for who in ("one", "first", "second")]
    assert held[0] == (held[1] + held[2] if results["sharded"] else held[1])
    assert held[1] < 0.6 * held[0] or not results["sharded"]


@pytest.mark.slow
def test_a_nan_in_one_process_stops_both(results: dict[str, Any]):
    for who in ("first", "second"):
        assert "not finite" in results[who]["nan"]["message"]
        assert results[who]["nan"]["same"]
    assert results["rescue"]
