"""Packed rows: every sequence once, apart from its neighbours, with the gradient of padded rows."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from palestra.errors import ConfigError
from palestra.learner.config import OptimConfig
from palestra.learner.distillation import DistilledPolicy
from palestra.learner.learner import Learner, LearnerConfig, supervised_loss
from palestra.learner.logprobs import Policy, padded
from palestra.learner.packed import first_fit, keeps_apart, packed
from palestra.learner.packing import micro_batches, pack_examples
from palestra.recipe.config import load_recipe
from palestra.recipe.run import run_recipe
from palestra.tiny.paths import base_dir

CPU = torch.device("cpu")
SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.2,
}
MODELS = {
    "Llama": {},
    "Qwen2": {},
    "Qwen3": {"head_dim": 16},
    "Gemma2": {"head_dim": 16, "sliding_window": 8},  # logits that are capped, a layer that slides
    "GPTNeoX": {},
}


def make(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**SIZES | options)
    return getattr(transformers, f"{name}ForCausalLM")(config).eval()


def mamba(**options: Any) -> Any:
    return make("Mamba", state_size=4, **options)


def examples(count: int = 12) -> Any:
    random = np.random.default_rng(0)
    sizes = random.integers(1, 14, (count, 2))
    return pack_examples([tuple(random.integers(3, 64, n).tolist() for n in s) for s in sizes])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(1, 200))
def test_every_sequence_is_packed_once_within_row_and_budget(lengths: list[int], budget: int):
    micros = first_fit(lengths, budget)
    assert sorted(i for rows in micros for row in rows for i in row) == list(range(len(lengths)))
    for rows in micros:
        width = max(lengths[i] for row in rows for i in row)
        assert all(sum(lengths[i] for i in row) <= width for row in rows)
        assert len(rows) * width <= budget or sum(map(len, rows)) == len(rows) == 1
    assert len(micros) <= len(micro_batches(lengths, budget))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(1, 200))
def test_a_micro_batch_is_laid_out_as_it_was_dealt(lengths: list[int], budget: int):
    for rows in first_fit(lengths, budget):
        members = [i for row in rows for i in row]
        (again,) = first_fit([lengths[i] for i in members], float("inf"))
        assert len(again) == len(rows)


@pytest.mark.parametrize("name", MODELS)
def test_logprobs_and_gradient_are_those_of_padded_rows(name: str):
    model, batch = make(name, **MODELS[name]), examples()
    assert keeps_apart(model)
    ids, *_, positions = packed(batch, 0, CPU)
    assert len(ids) < len(batch)
    assert (positions == 0).sum() >= len(batch)
    weight = torch.linspace(-1, 1, batch.total.tokens)
    want, _ = Policy(model)(*padded(batch, 0, CPU), 0.8, False)
    (want * weight).sum().backward()
    gradient = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    *where, positions = packed(batch, 0, CPU)
    got, entropy = Policy(model)(*where, 0.8, True, 0, positions)
    assert entropy is not None
    (got * weight).sum().backward()
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    for own, p in zip(gradient, model.parameters(), strict=True):
        torch.testing.assert_close(p.grad, own, atol=1e-4, rtol=1e-4)


def test_a_teachers_logits_are_those_of_padded_rows():
    policy = DistilledPolicy(make("Llama"), make("Qwen2"), temperature=2.0, vocabulary=64)
    want, _ = policy(*padded(examples(), 0, CPU), 1.0, False)
    *where, positions = packed(examples(), 0, CPU)
    got, _ = policy(*where, 1.0, False, 0, positions)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_an_update_is_that_of_padded_rows():
    done = []
    for packing in (False, True):
        model = make("Llama")
        learner = Learner(
            model,
            Accelerator(cpu=True),
            LearnerConfig(
                optim=OptimConfig(learning_rate=1e-2, eps=1e-4),
                total_updates=3,
                token_budget=60,
                packing=packing,
            ),
            pad=0,
        )
        metrics = learner.update(examples(), supervised_loss)
        logprobs = learner.annotate(examples(), frozenset({"old_logprobs"}))["old_logprobs"]
        done.append((metrics, logprobs, copy.deepcopy(list(model.parameters()))))
    (one, before, plain), (two, after, full) = done
    assert one == pytest.approx(two, abs=1e-5)
    torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)
    for own, other in zip(plain, full, strict=True):
        torch.testing.assert_close(own, other, atol=1e-5, rtol=1e-4)


def test_a_model_that_reads_on_into_the_next_sequence_is_found_out():
    assert not keeps_apart(mamba())


def test_weights_that_are_no_numbers_are_left_to_the_learner():
    model = make("Llama")
    with torch.no_grad():
        model.model.norm.weight.fill_(torch.nan)
    assert keeps_apart(model)


RECIPE = """
model: {model}
engine: {{threads: 1, token_budget: 512}}
eval: {{envs: [{{env: math/Arithmetic-v1}}], questions: 2, samples: 1, max_tokens: 4}}
stages:
  sft:
    type: sft
    init_from: base
    data: [{{env: math/Arithmetic-v1, count: 60}}]
    steps: 3
    batch_size: 20
    packing: {packing}
    prompt: raw
    optim: {{learning_rate: 1.0e-3, eps: 1.0e-4}}
    eval: null
"""


def rows(home: Path, packing: str) -> list[dict[str, Any]]:
    (home / "r.yaml").write_text(RECIPE.format(model="tiny", packing=packing))
    run = run_recipe(load_recipe(home / "r.yaml"), output=home / packing)
    lines = (run / "stages/01-sft/metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_a_stage_learns_the_same_packed(tmp_path: Path):
    plain, full = rows(tmp_path, "false"), rows(tmp_path, "true")
    for own, other in zip(plain, full, strict=True):
        assert own["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert own["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)


def test_a_stage_refuses_such_a_model_in_one_line(tmp_path: Path):
    tokenizer = AutoTokenizer.from_pretrained(base_dir())
    mamba(vocab_size=len(tokenizer)).save_pretrained(tmp_path / "mamba")
    tokenizer.save_pretrained(tmp_path / "mamba")
    (tmp_path / "r.yaml").write_text(RECIPE.format(model=tmp_path / "mamba", packing="true"))
    with pytest.raises(ConfigError, match=r"stages.sft.packing: a model of type mamba reads a row"):
        run_recipe(load_recipe(tmp_path / "r.yaml"), output=tmp_path / "run")
