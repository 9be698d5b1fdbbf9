"""What generating and grading beside the trainer save, with the sampler on a core of its own.

    PYTHONPATH=. .venv-vllm/bin/python tests/benchmarks/overlap.py [--rounds 2] [--steps 6] [--rows ahead grader]

One ``palestra serve-sampler tiny`` has core 1, the trainer core 0. The ways alternate, A B A B, as
stages of one run, and the first and last step of each are left out (nothing is generated beside the
last). Prints medians, and asserts nothing.

Rows: ``ahead``, staleness 0 against 1; ``grader``, a single-turn environment whose grader takes 0.5 s
of waiting: all graded after all is sampled (serial), graded while it is sampled, and that with
staleness 1.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.table import Table

PLUGIN = '''
import time
from dataclasses import replace

from palestra import Task, single_turn
from palestra.plugins.specs import SamplerSpec
from palestra.rollout.samplers.vllm_server import VLLMServerSampler


def slow(task, completion):
    time.sleep({grade_s})
    return float(len(completion) % 2)


@single_turn("bench/Slow-v1", grade=slow)
def add(rng, difficulty):
    return Task(prompt=f"{{rng.integers(100)}}+{{rng.integers(100)}}=?", reference=None)


@single_turn("bench/Quick-v1", grade=lambda task, completion: float(len(completion) % 2))
def quick(rng, difficulty):
    return Task(prompt=f"{{rng.integers(100)}}+{{rng.integers(100)}}=?", reference=None)


class Bench(VLLMServerSampler):
    """In a stage whose name says ``serial`` it hands out nothing before all is sampled."""

    def __init__(self, context, **options):
        super().__init__(context, **options)
        self.continuous = "serial" not in context.scratch.parent.name

    def generate(self, requests):
        yield from list(super().generate(requests))


def palestra_samplers():
    return [
        SamplerSpec(
            name="bench",
            entry_point=f"{{__name__}}:Bench",
            config="palestra.rollout.samplers.config:VLLMServerConfig",
        )
    ]
'''

RECIPE = """
name: overlap
model: tiny
plugins: [./bench.py]
engine: {{threads: 1, token_budget: 4096, sampler: {{type: bench, urls: ["{url}"]}}}}
mixtures:
  m: {{sources: [{{env: {env}, rewards: {{accuracy: 1.0}}}}]}}
stages:
"""

STAGE = """
  {name}:
    type: rl
    init_from: base
    mixture: m
    steps: {steps}
    prompts_per_step: {prompts}
    group_size: {group}
    epochs: {epochs}
    sampling: {{max_tokens: {tokens}}}
    optimizer: {{type: grpo}}
    optim: {{learning_rate: 1.0e-6}}
    correction: {{type: truncate}}
    staleness: {staleness}
    save_steps: 1000
    eval: null
"""

WORK = {
    "ahead": {"env": "bench/Quick-v1", "prompts": 8, "group": 8, "tokens": 96, "epochs": 2},
    "grader": {"env": "bench/Slow-v1", "prompts": 2, "group": 8, "tokens": 96, "epochs": 2},
}
WAYS = {
    "ahead": {"staleness-0": 0, "staleness-1": 1},
    "grader": {"serial": 0, "graded-while-sampled": 0, "and-staleness-1": 1},
}
Steps = dict[str, list[dict[str, float]]]
PHASES = ("generate", "grade", "logprobs", "backward", "sync", "wait")


def serve(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a server on core 1, and return it with its address when it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "palestra.cli.main", "serve-sampler", "tiny"]
    command += ["--port", str(port), "--threads", "1", "--enforce-eager"]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            ["taskset", "-c", "1", *command], stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit((folder / "server.log").read_text()[-3000:])
        try:
            urllib.request.urlopen(url + "/health", timeout=2).close()
        except OSError:
            time.sleep(0.5)
        else:
            return process, url
    raise SystemExit("the server does not come up")


def train(folder: Path, row: str, url: str, steps: int, rounds: int) -> Steps:
    """Run a recipe on core 0, and return each way's steps without the first and the last."""
    folder.mkdir()
    (folder / "bench.py").write_text(PLUGIN.format(grade_s=0.5))
    recipe = RECIPE.format(url=url, **WORK[row])
    for number in range(rounds):
        for way, staleness in WAYS[row].items():
            name = f"{way}_{number}"
            recipe += STAGE.format(name=name, staleness=staleness, steps=steps, **WORK[row])
    (folder / "bench.yaml").write_text(recipe)
    command = [sys.executable, "-m", "palestra.cli.main", "run", str(folder / "bench.yaml")]
    done = subprocess.run(
        ["taskset", "-c", "0", *command, "--output", str(folder / "run")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: Steps = {way: [] for way in WAYS[row]}
    for file in sorted((folder / "run" / "stages").glob("*/metrics.jsonl")):
        way = file.parent.name.partition("-")[2].rpartition("_")[0]
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        found[way] += rows[1:-1]
    return found


def show(row: str, steps: Steps) -> None:
    """Print the medians of each way, and their ratio to the first."""

    def median(way: str, key: str) -> float:
        return statistics.median(step.get(key, 0.0) for step in steps[way])

    work = WORK[row]
    title = f"{row}: {work['prompts']} x {work['group']} x {work['tokens']} tokens"
    table = Table("", "s a step", "ratio", *PHASES, "generate beside", "grade beside", title=title)
    first = median(next(iter(steps)), "seconds")
    for way in steps:
        whole = median(way, "seconds")
        parts = [f"{median(way, f'seconds/{p}'):.2f}" for p in PHASES]
        beside = [f"{median(way, f'seconds_ahead/{p}'):.2f}" for p in ("generate", "grade")]
        table.add_row(way, f"{whole:.2f}", f"{whole / first:.2f}", *parts, *beside)
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rows", nargs="+", choices=list(WORK), default=list(WORK))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overlap-") as name:
        folder = Path(name)
        server, url = serve(folder)
        try:
            for row in args.rows:
                show(row, train(folder / row, row, url, args.steps, args.rounds))
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


if __name__ == "__main__":
    main()
