"""Useful operations: as torch counts them, and each prompt once a group."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, MixtralConfig, MixtralForCausalLM

from palestra.stages.flops import ModelShape, peak_flops
from palestra.tiny.paths import base_dir


def mask(prompt: int, own: int) -> np.ndarray:
    return np.arange(prompt + own) >= prompt


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(base_dir(), attn_implementation="eager")


def test_a_forward_pass_is_counted_as_torch_counts_it(model) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    length = 48
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=torch.zeros(1, length, dtype=torch.long), use_cache=False)
    shape = ModelShape.of(model)
    ours = shape.forward([(0, mask(0, length))])
    # torch computes all of the attention's square, of which the causal half and the diagonal count
    unseen = 4 * shape.layers * shape.width * (length**2 - length * (length + 1) / 2)
    rotary = counter.get_total_flops() - ours - unseen
    assert 0 <= rotary < 0.002 * ours


def test_a_prompt_counts_once_a_group_and_the_head_on_policy_tokens_only() -> None:
    shape = ModelShape(body=100, head=10, layers=2, width=3)
    alone = shape.forward([(0, mask(4, 2))])
    assert alone == 2 * 100 * 6 + 2 * 10 * 2 + 4 * 2 * 3 * (1 + 2 + 3 + 4 + 5 + 6)
    second = shape.forward([(0, mask(4, 2)), (0, mask(4, 2))]) - alone
    assert second == 2 * 100 * 2 + 2 * 10 * 2 + 4 * 2 * 3 * (5 + 6)
    assert shape.forward([(0, mask(4, 2)), (1, mask(4, 2))]) == 2 * alone
    assert shape.forward([]) == 0


def test_only_the_experts_that_a_token_goes_to_count() -> None:
    def body(experts: int, chosen: int) -> float:
        config = MixtralConfig(
            vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=2, num_key_value_heads=2, num_local_experts=experts,
            num_experts_per_tok=chosen,
        )  # fmt: skip
        return ModelShape.of(MixtralForCausalLM(config)).body

    per_expert = 3 * 16 * 32
    assert body(4, 2) - body(4, 1) == per_expert
    assert body(8, 2) - body(4, 2) == 4 * 16  # the router's rows


@pytest.mark.parametrize("name", ["GPT2", "Mamba", "Qwen3", "Gemma3Text", "Qwen3Moe", "GptOss"])
def test_models_of_every_make_have_a_shape(name: str) -> None:
    import transformers

    small = dict(vocab_size=64, hidden_size=32, num_hidden_layers=2, intermediate_size=32)
    if name != "Mamba":
        small |= dict(num_attention_heads=4, num_key_value_heads=2, head_dim=8)
    config = getattr(transformers, f"{name}Config")(**small)
    shape = ModelShape.of(AutoModelForCausalLM.from_config(config))
    assert shape.body > 0
    assert shape.head == 64 * 32
    assert (shape.width > 0) == (name != "Mamba")


def test_the_peak_is_measured_once_and_no_seed_is_spent() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    peak = peak_flops(torch.device("cpu"), "fp32")
    assert torch.rand(1) == expected
    assert 1e8 < peak < 1e14
    assert peak_flops(torch.device("cpu"), "fp32") == peak
