"""Liger's kernels give the model's own log-probs and gradients; Triton interprets them on a CPU.

`make test-more` installs them and says ``TRITON_INTERPRET=1``; elsewhere only the refusals are tried.
"""

from __future__ import annotations

import copy
import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from palestra.errors import ConfigError
from palestra.learner.liger import use_liger
from palestra.learner.logprobs import Policy

interpreted = pytest.mark.skipif(
    find_spec("liger_kernel") is None or os.environ.get("TRITON_INTERPRET") != "1",
    reason="needs liger-kernel and TRITON_INTERPRET=1, as in make test-more",
)
SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


def llama() -> Any:
    return LlamaForCausalLM(LlamaConfig(**SIZES))


def qwen2() -> Any:
    return Qwen2ForCausalLM(Qwen2Config(**SIZES))


def logprobs(model: Any) -> torch.Tensor:
    """The log-probs of the last four of eight tokens of each row, with their gradient."""
    ids = torch.arange(24).reshape(3, 8) * 5 % 96
    rows, columns = torch.arange(3).repeat_interleave(4), torch.arange(4, 8).repeat(3)
    out, _ = Policy(model)(ids, rows, columns, 0.9, False)
    out.square().sum().backward()
    return out.detach()


@pytest.fixture
def as_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the interpreter do what the compiler does: floats have a type, and rsqrt is the device's."""
    import numpy as np
    import triton.language as tl
    from triton.runtime import interpreter

    given = interpreter._implicit_cvt

    def convert(argument: Any) -> Any:
        if isinstance(argument, float):
            handle = interpreter.TensorHandle(np.array([argument], dtype=np.float32), tl.float32)
            return tl.tensor(handle, tl.float32)
        return given(argument)

    monkeypatch.setattr(interpreter, "_implicit_cvt", convert)
    monkeypatch.setattr(import_module("liger_kernel.ops.rms_norm"), "rsqrt", lambda x: tl.rsqrt(x))


@interpreted
@pytest.mark.usefixtures("as_compiled")
@pytest.mark.parametrize("make", [llama, qwen2])
def test_logprobs_and_gradients_are_the_models_own(make: Any, monkeypatch: pytest.MonkeyPatch):
    module = pytest.importorskip(make().__module__)
    monkeypatch.setattr(module, "apply_rotary_pos_emb", module.apply_rotary_pos_emb)  # put back
    torch.manual_seed(0)
    plain = make()
    fused = copy.deepcopy(plain)
    expected = logprobs(plain)
    names = list(fused.state_dict())
    use_liger(fused)
    assert fused.model.layers[0].mlp.forward.__func__.__module__.startswith("liger_kernel")
    assert list(fused.state_dict()) == names
    twin = copy.deepcopy(fused)  # as a reference is made: it has to use its own weights
    assert torch.allclose(logprobs(fused), expected, atol=1e-5)
    for own, other in zip(fused.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(own.grad, other.grad, atol=1e-5)
    with torch.no_grad():
        fused.model.layers[0].mlp.down_proj.weight.zero_()
        fused.model.norm.weight.zero_()
    assert torch.allclose(logprobs(twin), expected, atol=1e-5)


@interpreted
def test_a_type_of_model_without_kernels_is_one_line():
    model = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=1))
    with pytest.raises(ConfigError, match="no kernels for models of type gpt2: deepseek_v2, "):
        use_liger(model)


@pytest.mark.skipif(find_spec("liger_kernel") is not None, reason="it is installed")
def test_missing_is_one_line_with_the_pip_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(ConfigError, match=r"Run: pip install 'palestra\[liger\]'"):
        use_liger(llama())


def test_a_cpu_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ConfigError, match="kernels need a GPU, and this run has none"):
        use_liger(llama())
