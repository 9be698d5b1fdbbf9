"""Every policy optimizer on r1-tiny's R1-Zero stage, and what GRPO and PPO cost on the same work.

    python tests/benchmarks/optimizers.py [--seeds 0 1 2] [--steps 50] [--output DIR]
        [--optimizers grpo ppo ...] [--part accuracy | cost] [--threads N]

Accuracy: the same recipe but for the optimizer's own keys, against the base model; runs that DIR
already holds are read. Cost: a random Llama, large enough for its weights to dominate, in a process
of its own for each arm, in turns. Prints tables, asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from palestra.evaluation.metrics import Measure
from palestra.evaluation.pooling import pooled

LENGTH = 72  # the stage's max_tokens
OPTIMIZERS: dict[str, str] = {
    "grpo": "{type: grpo}",
    "ppo": "{type: ppo, critic: {from: policy}}",
    "ppo, lambda 1": "{type: ppo, critic: {from: policy}, lam: 1.0}",
    "rloo": "{type: rloo}",
    "reinforce_pp": "{type: reinforce_pp}",
    "reinforce_pp_baseline": "{type: reinforce_pp_baseline}",
    "dr_grpo": f"{{type: dr_grpo, max_length: {LENGTH}}}",
    "dapo": "{type: dapo}",
    "dapo, overlong": f"{{type: dapo, overlong: {{max_length: {LENGTH}, buffer: 16}}}}",
    "gspo": "{type: gspo}",
    "cispo": "{type: cispo}",
    "grpo_process": "{type: grpo_process}",
    "grpo_off_policy": "{type: grpo_off_policy}",
}
"""What is compared: a name, and the block that a recipe would have."""

KEYS = ("pass@1", "lenient@1")
LAST = 5  # steps whose training accuracy is averaged


# --- accuracy --------------------------------------------------------------------------------


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    """Return the results of a run, made now unless its folder is there and done."""
    manifest = folder / "manifest.json"
    if not (manifest.is_file() and json.loads(manifest.read_text())["done"]):
        resume = ["--resume"] if manifest.is_file() else []
        command = [sys.executable, "-m", "palestra.cli.main", "run", "r1-tiny", "--output"]
        subprocess.run([*command, str(folder), *resume, *arguments], check=True)
    return json.loads((folder / "results.json").read_text())


def arm(folder: Path, seed: int, block: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what one optimizer came to on one seed: measures, seconds, bytes, samples."""
    sets = {"optimizer": block, "steps": options.steps, "save_steps": options.steps}
    arguments = [f for k, v in sets.items() for f in ("--set", f"stages.zero.{k}={v}")]
    arguments += ["--set", f"engine.threads={options.threads}"] if options.threads else []
    results = run(folder, "--seed", str(seed), "--only", "zero", *arguments)
    (place,) = (folder / "stages").glob("*-zero")
    rows = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    spent = {r["step"]: sum(x["seconds"] for x in rows[: r["step"]]) for r in rows}
    return {
        "spent": spent,
        "accuracy": {r["step"]: r["reward/accuracy"] for r in rows},
        "final": next(s["evals"] for s in results["stages"] if s["role"] == "zero"),
        "update": statistics.median(r["seconds/logprobs"] + r["seconds/backward"] for r in rows),
        "groups": sum(r["groups"] + r["groups_dropped"] for r in rows),
        "rss": results["peak_rss_mb"],
        "bytes": state_bytes(sorted((place / "checkpoints").glob("step-*"))[-1]),
    }


def state_bytes(checkpoint: Path) -> int:
    """Return the bytes of all tensors that a checkpoint holds: weights, moments, reference, critic."""
    import torch
    from safetensors.torch import load_file

    stored = [load_file(file) for file in (checkpoint / "model").glob("*.safetensors")]
    more = [torch.load(f, map_location="cpu", weights_only=True) for f in checkpoint.glob("*.pt")]
    return tensor_bytes([*stored, *more])


def tensor_bytes(value: Any) -> int:
    """Return the bytes of the tensors in nested containers."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        return sum(map(tensor_bytes, value.values()))
    return sum(map(tensor_bytes, value)) if isinstance(value, list | tuple) else 0


def show(measure: Measure | None) -> str:
    """Return a measure with its interval."""
    if measure is None:
        return "-"
    return f"{measure.value:.3f} [{measure.ci95[0]:.3f}, {measure.ci95[1]:.3f}]"


def is_twice(measure: Measure | None, base: Measure | None) -> str:
    """Return whether a measure is at least twice the base's, and the intervals are disjoint."""
    if measure is None or base is None:
        return "-"
    return "yes" if measure.value >= 2 * base.value and measure.ci95[0] > base.ci95[1] else "NO"


def within(found: dict[str, Any], seconds: float) -> str:
    """Return the accuracy of the last `LAST` steps, on what they trained on, within `seconds`."""
    steps = [step for step, spent in found["spent"].items() if spent <= seconds][-LAST:]
    mean = statistics.fmean(found["accuracy"][step] for step in steps)
    return f"{mean:.3f} (step {steps[-1]})"


def accuracy(console: Console, options: argparse.Namespace) -> None:
    """Run every optimizer on every seed, and print a table a seed."""
    for seed in options.seeds:
        base_run = run(options.output / f"base-{seed}", "--seed", str(seed), "--only", "base_model")
        base = {key: pooled(base_run["stages"][0]["evals"], key) for key in KEYS}
        arms = {
            name: arm(
                options.output / f"{name.replace(', ', '-').replace(' ', '')}-{seed}",
                seed,
                OPTIMIZERS[name],
                options,
            )
            for name in options.optimizers
        }
        least = min(found["spent"][max(found["spent"])] for found in arms.values())
        table = Table(
            "optimizer",
            *(f"{key} at equal steps" for key in KEYS),
            "twice base",
            f"training accuracy in {least:.0f} s",
            "train s",
            "update s",
            "prompts",
            "state MB",
            "peak MB",
            title=f"seed {seed}, {options.steps} steps (reasoning environments pooled)",
        )
        table.add_row("base", *(show(base[key]) for key in KEYS))
        for name, found in arms.items():
            ends = {key: pooled(found["final"], key) for key in KEYS}
            table.add_row(
                name,
                *(show(ends[key]) for key in KEYS),
                ", ".join(is_twice(ends[key], base[key]) for key in KEYS),
                within(found, least),
                f"{found['spent'][max(found['spent'])]:.0f}",
                f"{found['update']:.2f}",
                str(found["groups"]),
                f"{found['bytes'] / 1e6:.1f}",
                str(found["rss"]),
            )
        console.print(table)


# --- cost ------------------------------------------------------------------------------------

ARMS: dict[str, dict[str, Any]] = {
    "grpo": {"type": "grpo"},
    "ppo": {"type": "ppo", "critic": {"from": "policy"}},
    "grpo, reference": {"type": "grpo", "kl": 0.01},
    "ppo, reference": {"type": "ppo", "critic": {"from": "policy"}, "kl": 0.01},
}
SIZES = {
    "small": dict(hidden_size=512, intermediate_size=1408, num_hidden_layers=6),  # 23M
    "large": dict(hidden_size=768, intermediate_size=2048, num_hidden_layers=12),  # 91M
}
PROMPT, COMPLETION, ROWS, GROUP = 32, 96, 16, 8


def measured(block: dict[str, Any], size: str, steps: int) -> dict[str, float]:
    """Train in this process, and return what a step cost. Every arm does the same work.

    A step samples `ROWS` completions with the embedded sampler, then trains on them once.
    """
    import numpy as np
    import torch
    from accelerate import Accelerator
    from transformers import LlamaConfig, LlamaForCausalLM

    from palestra.learner.config import OptimConfig
    from palestra.learner.learner import Learner, LearnerConfig
    from palestra.learner.packing import pack_examples
    from palestra.optimizers.batch import Batch
    from palestra.plugins.registry import Kind, get_registry
    from palestra.rollout.samplers.base import Request, SamplingParams
    from palestra.rollout.samplers.transformers import TransformersSampler

    registry = get_registry()
    factory: Any = registry.load(Kind.POLICY_OPTIMIZER, block["type"])
    optimizer = factory(
        factory.Config.model_validate({k: v for k, v in block.items() if k != "type"})
    )
    empty = resident_mb()
    torch.manual_seed(0)
    heads = dict(num_attention_heads=8, num_key_value_heads=8, tie_word_embeddings=True)
    config = LlamaConfig(vocab_size=8192, eos_token_id=1, pad_token_id=0, **heads, **SIZES[size])
    model = LlamaForCausalLM(config)
    learner = Learner(
        model,
        Accelerator(cpu=True),
        LearnerConfig(
            optim=OptimConfig(learning_rate=1e-5),
            total_updates=steps,
            token_budget=512,
            keep_reference="ref_logprobs" in optimizer.needs,
        ),
        pad=0,
        critic=optimizer.critic(model),
    )
    sampler = TransformersSampler(model)
    random = np.random.default_rng(0)
    early = {"ref_logprobs", "values"}
    early |= {"old_logprobs"} if optimizer.advantages_need_old_logprobs else set()
    seconds: dict[str, list[float]] = {"sample": [], "train": []}
    reset_peak()
    for step in range(steps):
        prompts = random.integers(2, 8192, (ROWS // GROUP, PROMPT)).repeat(GROUP, 0)
        begun = time.perf_counter()
        requests = [
            Request(
                token_ids=tuple(map(int, prompt)),
                seed=1000 * step + row,
                params=SamplingParams(max_tokens=COMPLETION),
                stop_token_ids=(),
            )
            for row, prompt in enumerate(prompts)
        ]
        done = sorted(sampler.generate(requests), key=lambda completion: completion.index)
        sampled = time.perf_counter()
        batch = pack_examples([(p, c.token_ids) for p, c in zip(prompts, done, strict=True)])
        scores = torch.tensor(random.random(ROWS), dtype=torch.float32)
        rewards = torch.zeros(batch.total.tokens)
        rewards[batch.lengths_S.cumsum(0) - 1] = scores
        batch = Batch(
            **{f: getattr(batch, f) for f in batch.__slots__}
            | {"scores_S": scores, "rewards_T": rewards, "group_S": torch.arange(ROWS) // GROUP}
        )
        batch = learner.annotate(batch, optimizer.needs & early)
        learner.update(batch.with_fields(optimizer.advantages(batch)), optimizer.loss)
        seconds["sample"].append(sampled - begun)
        seconds["train"].append(time.perf_counter() - sampled)
    modules = [learner._policy, learner._reference, learner._critic and learner._critic.module]
    states = [learner._optimizer, learner._critic and learner._critic._optimizer]
    weights = sum(tensor_bytes(list(m.parameters())) for m in modules if m is not None)
    trained = [p for m in (modules[0], modules[2]) if m is not None for p in m.parameters()]
    moments = sum(tensor_bytes(s.state_dict()) for s in states if s is not None)
    peak = resident_mb("VmHWM")
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "state": (weights + tensor_bytes(trained) + moments) / 1e6,  # trained: a gradient each
        "peak": peak,
        "net": peak - empty,
        "sample": statistics.median(seconds["sample"][1:]),
        "train": statistics.median(seconds["train"][1:]),
    }


def resident_mb(key: str = "VmRSS") -> float:
    """Return the memory of this process; ``VmHWM`` is the most since `reset_peak`."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith(f"{key}:")).split()[1]) / 1e3


def reset_peak() -> None:
    """Begin to measure the peak anew, so that loading does not count."""
    Path("/proc/self/clear_refs").write_text("5")


def cost(console: Console, options: argparse.Namespace) -> None:
    """Measure each arm in processes of their own, in turns, and print medians and ratios."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
    for _ in range(options.rounds):
        for name in ARMS:
            command = [sys.executable, __file__, "--arm", name, "--size", options.size]
            environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, env=environment
            )
            rounds[name].append(json.loads(done.stdout.splitlines()[-1]))
    found = {
        name: {key: statistics.median(r[key] for r in rows) for key in rows[0]}
        for name, rows in rounds.items()
    }
    table = Table(
        "arm",
        "state MB",
        "peak MB",
        "of it beyond the libraries'",
        "sample s",
        "train s",
        "step s",
        title=f"{found['grpo']['parameters']:,.0f} parameters, {ROWS} x ({PROMPT} + {COMPLETION}) "
        f"tokens a step, medians of {options.rounds} rounds",
    )
    for one in found.values():
        one["step"] = one["sample"] + one["train"]
    columns = ("state", "peak", "net", "sample", "train", "step")
    for name, one in found.items():
        numbers = [f"{one[k]:.0f}" if k in columns[:3] else f"{one[k]:.2f}" for k in columns]
        table.add_row(name, *numbers)
    for suffix in ("", ", reference"):
        ours, theirs = found[f"grpo{suffix}"], found[f"ppo{suffix}"]
        table.add_row(f"grpo / ppo{suffix}", *(f"{ours[k] / theirs[k]:.0%}" for k in columns))
    console.print(table)
    console.print("aims: state 50% (56% with a reference), peak at most 65%, step at most 70%")


def main() -> None:
    """Run what is not there yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--optimizers", nargs="+", default=list(OPTIMIZERS), choices=OPTIMIZERS)
    parser.add_argument("--output", type=Path, default=Path("runs/optimizers"))
    parser.add_argument("--part", choices=("accuracy", "cost"))
    parser.add_argument("--threads", type=int, help="CPU threads of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        print(json.dumps(measured(ARMS[options.arm], options.size, steps=4)))
        return
    console = Console(width=180)
    if options.part != "accuracy":
        cost(console, options)
    if options.part != "cost":
        accuracy(console, options)


if __name__ == "__main__":
    main()
