"""LoRA: it begins as the base, has the base as its reference, and leaves a plain model behind."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.learner.test_learner import make_batch, make_learner, tiny_llama, tokenizer
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from palestra.errors import ConfigError
from palestra.learner.config import LoRAConfig
from palestra.learner.logprobs import padded
from palestra.learner.lora import add_adapters, merged
from palestra.optimizers.grpo import GRPO, GRPOConfig

CONFIG = LoRAConfig(rank=4, alpha=8)
REFERENCE = frozenset({"ref_logprobs"})
OLD = frozenset({"old_logprobs"})


def adapted(**options: Any) -> LlamaForCausalLM:
    model = tiny_llama(**options)
    add_adapters(model, CONFIG, seed=0)
    return model


def trained(model: LlamaForCausalLM, updates: int = 3, **config: Any):
    grpo = GRPO(GRPOConfig(kl=0.1))
    learner = make_learner(model, keep_reference=True, **config)
    for number in range(updates):
        batch = learner.annotate(make_batch(number), REFERENCE)
        learner.update(batch.with_fields(grpo.advantages(batch)), grpo.loss)
    return learner


@pytest.mark.parametrize("tied", [False, True])
def test_it_begins_with_exactly_the_logprobs_of_the_base(tied: bool):
    batch = make_batch()
    base = make_learner(tiny_llama(tie_word_embeddings=tied)).annotate(batch, OLD)
    own = make_learner(adapted(tie_word_embeddings=tied)).annotate(batch, OLD)
    assert torch.equal(base["old_logprobs"], own["old_logprobs"])


def test_the_reference_is_the_base_whatever_was_learnt():
    batch = make_batch()
    base = make_learner(tiny_llama()).annotate(batch, OLD)["old_logprobs"]
    learner = trained(adapted())
    found = learner.annotate(batch, OLD | REFERENCE)
    assert torch.equal(found["ref_logprobs"], base)
    assert (found["old_logprobs"] - base).abs().max() > 1e-3


def test_only_adapters_are_trained_and_there_is_no_second_model():
    learner = trained(adapted())
    base = tiny_llama().state_dict()
    own = learner.model.state_dict()
    for name, tensor in base.items():
        kept = own.get(name, own.get(name.replace(".weight", ".base_layer.weight")))
        assert torch.equal(kept, tensor), name
    state = learner.snapshot().files["learner.pt"]
    assert state["reference"] is None
    moments = sum(t.numel() for s in state["optimizer"]["state"].values() for t in s.values())
    adapters = sum(t.numel() for t in state["adapters"].values())
    assert moments < 2.2 * adapters  # two moments and a step each
    assert adapters < 0.3 * sum(t.numel() for t in base.values())


@pytest.mark.parametrize("tied", [False, True])
def test_what_is_merged_is_what_was_learnt(tied: bool, tmp_path: Path):
    learner = trained(adapted(tie_word_embeddings=tied))
    names = tiny_llama(tie_word_embeddings=tied).state_dict().keys()
    assert dict(learner.named_tensors()).keys() == names
    learner.snapshot().write(tmp_path, tokenizer())
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert not [name for name, _ in plain.named_parameters() if "lora" in name]
    batch = make_batch()
    own = learner.annotate(batch, OLD)["old_logprobs"]
    theirs = make_learner(plain).annotate(batch, OLD)["old_logprobs"]
    torch.testing.assert_close(own, theirs, atol=1e-5, rtol=0)


def test_a_loaded_learner_goes_on_bit_for_bit(tmp_path: Path):
    whole = trained(adapted(), updates=4)
    half = trained(adapted(), updates=2)
    half.snapshot().write(tmp_path, tokenizer())
    again = make_learner(adapted(), keep_reference=True)
    again.load(tmp_path)
    grpo = GRPO(GRPOConfig(kl=0.1))
    for number in (2, 3):
        batch = again.annotate(make_batch(number), REFERENCE)
        again.update(batch.with_fields(grpo.advantages(batch)), grpo.loss)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor), name


def test_the_update_is_that_of_the_product_of_both_factors():
    """The gradient of W + s B A with respect to B is s (dL/dW) A^T; checked on one layer."""
    model, batch = adapted(), make_batch()
    learner = make_learner(model)
    name = "model.layers.0.self_attn.q_proj"
    layer: Any = model.get_submodule(name)
    full = tiny_llama()
    other = make_learner(full)
    for one in (learner, other):
        module = one.accelerator.unwrap_model(one._policy).eval()
        now, _ = module(*padded(batch, 0, torch.device("cpu")), 1.0, False)
        now.sum().backward()
    own: Any = full.get_submodule(name)
    scale = CONFIG.alpha / CONFIG.rank
    expected = scale * own.weight.grad @ layer.lora_A["default"].weight.T
    torch.testing.assert_close(layer.lora_B["default"].weight.grad, expected, atol=1e-4, rtol=1e-4)


def test_the_same_seed_gives_the_same_adapters():
    one, two, other = tiny_llama(), tiny_llama(), tiny_llama()
    for model, seed in ((one, 5), (two, 5), (other, 6)):
        before = torch.random.get_rng_state()
        add_adapters(model, CONFIG, seed)
        assert torch.equal(torch.random.get_rng_state(), before)
    name = "model.layers.0.mlp.up_proj.lora_A.default.weight"
    assert torch.equal(one.state_dict()[name], two.state_dict()[name])
    assert not torch.equal(one.state_dict()[name], other.state_dict()[name])


def test_names_of_layers_that_are_not_there_are_one_line():
    config = LoRAConfig(target_modules=["q_prj"])
    with pytest.raises(ConfigError, match=r"engine\.lora\.target_modules: .*q_prj"):
        add_adapters(tiny_llama(), config, 0)


def test_without_peft_the_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "peft":
            raise ModuleNotFoundError("No module named 'peft'", name="peft")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigError, match=r"pip install 'palestra\[lora\]'"):
        add_adapters(tiny_llama(), CONFIG, 0)


# -- gradient checkpointing --------------------------------------------------------------------


@pytest.mark.parametrize("with_lora", [False, True])
def test_checkpointing_changes_no_number(with_lora: bool):
    found: list[dict[str, torch.Tensor]] = []
    for checkpointing in (False, True):
        model = adapted() if with_lora else tiny_llama()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        learner = trained(model, token_budget=10_000)
        found.append({n: t.clone() for n, t in merged(learner.model)})
    for name, tensor in found[0].items():
        torch.testing.assert_close(found[1][name], tensor, atol=1e-6, rtol=1e-5)


def test_checkpointing_keeps_fewer_activations():
    kept: list[int] = []
    for checkpointing in (False, True):
        model = tiny_llama(num_hidden_layers=8)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()
        sizes: list[int] = []

        def pack(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(input_ids=torch.ones(4, 50, dtype=torch.long), use_cache=False)
        kept.append(sum(sizes))
    assert kept[1] < 0.4 * kept[0]
