"""The mismatch guard: its numbers by hand, and what it says of a sampler that is left behind."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tests.unit.rollout import own_weights
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from palestra.errors import TrainingError
from palestra.learner.mismatch import Mismatch, Probe, Watch, likely_cause, require_same_policy
from palestra.learner.packing import pack_examples
from palestra.optimizers.base import Loss, Outputs
from palestra.optimizers.batch import Batch
from palestra.rollout.samplers.base import SamplerContext
from palestra.rollout.samplers.transformers import TransformersSampler


def small_llama(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        initializer_range=0.2,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config).eval()


def rollout() -> Batch:
    return pack_examples([([5, 6, 7], [8, 9]), ([10, 11], [12, 13, 14])])


def no_loss(now: Outputs, batch: Batch) -> Loss:
    return Loss(value=now.logprobs.sum())


def test_the_four_numbers_are_those_of_the_formulas():
    batch = rollout()
    differences = [0.0, 0.05, -0.2, math.log(2.0), 0.0]
    watch = Watch(no_loss, batch)
    watch(Outputs(logprobs=torch.tensor(differences)), batch)  # the sampler's are zeros
    found = watch.result(Accelerator(cpu=True))
    k3 = [math.exp(d) - d - 1 for d in differences]
    assert found.sampler_gap == pytest.approx(sum(map(abs, differences)) / 5)
    assert found.sampler_gap_max == pytest.approx(math.log(2.0))
    assert found.sampler_kl == pytest.approx(sum(k3) / 5, rel=1e-6)
    assert found.sampler_gap_share == pytest.approx(2 / 5)


def test_old_logprobs_are_compared_where_there_are_some():
    batch = rollout().with_fields({"old_logprobs": torch.full((5,), 0.5)})
    watch = Watch(no_loss, batch)
    watch(Outputs(logprobs=torch.full((5,), 9.0)), batch)  # later updates are off policy
    assert watch.result(Accelerator(cpu=True)).sampler_gap == pytest.approx(0.5)


def test_the_samplers_own_log_probs_as_old_ones_are_not_compared_with_themselves():
    batch = rollout()
    batch = batch.with_fields({"old_logprobs": batch.sampler_logprobs_T})
    watch = Watch(no_loss, batch)
    watch(Outputs(logprobs=torch.full((5,), 0.25)), batch)
    assert watch.result(Accelerator(cpu=True)).sampler_gap == pytest.approx(0.25)


def test_a_probe_tells_whether_the_sampler_has_the_weights_that_the_trainer_has():
    model = small_llama()
    sampler = own_weights.OwnWeights(SamplerContext(model=model, source=""))
    try:
        assert Probe(sampler, rollout(), 0.7).result(model).sampler_gap < 1e-5
        with torch.no_grad():
            model.lm_head.weight += 0.1 * torch.randn_like(model.lm_head.weight)
        behind = Probe(sampler, rollout(), 0.7).result(model)
        assert behind.sampler_gap > 0.05
        sampler.update_weights(iter(model.state_dict().items()), version=1)
        probe = Probe(sampler, rollout(), 0.7)
        probe.wait()
        assert probe.result(model).sampler_gap < 1e-5
    finally:
        sampler.close()


def test_no_token_is_no_mismatch():
    assert Watch(no_loss, rollout()).result(Accelerator(cpu=True)) == Mismatch()


@pytest.mark.parametrize("gap", [0.02, math.inf, math.nan])
def test_over_the_limit_the_run_stops_with_the_cause(gap: float):
    with pytest.raises(TrainingError, match=r"step 7: .*limit of the mean is 0.01.*: a cause"):
        require_same_policy(Mismatch(sampler_gap=gap), 0.01, 7, lambda: "a cause")


def test_within_the_limit_no_cause_is_looked_for():
    looked: list[str] = []
    require_same_policy(Mismatch(sampler_gap=0.01), 0.01, 7, lambda: str(looked.append("yes")))
    assert not looked


# --- the likely cause ----------------------------------------------------------------------------


class OwnWeights(TransformersSampler):
    """Samples from a copy of the model, as a server would, and takes what it is made to take."""

    def __init__(self, model: LlamaForCausalLM, leaves_out: str | None = None) -> None:
        super().__init__(copy.deepcopy(model))
        self.leaves_out = leaves_out

    def update_weights(self, tensors: Iterator[tuple[str, Tensor]], version: int) -> None:
        kept = {n: t for n, t in tensors if self.leaves_out is None or self.leaves_out not in n}
        self.model.load_state_dict(kept, strict=False)


class AtTemperatureOne(OwnWeights):
    """Says the log-probs before the temperature, as many engines do by default."""

    def generate(self, requests):  # type: ignore[no-untyped-def]
        for done in super().generate(requests):
            ids = torch.tensor([[*requests[done.index].token_ids, *done.token_ids]])
            with torch.no_grad():
                every = self.model(ids).logits[0, :-1].log_softmax(-1)
            own = every.gather(-1, ids[0, 1:, None])[-len(done.token_ids) :, 0]
            done.logprobs[:] = own.numpy().astype(np.float32)
            yield done


@pytest.fixture
def start(tmp_path: Path) -> tuple[str, LlamaForCausalLM, LlamaForCausalLM]:
    """Where a stage's model began, that model, and the one it has trained."""
    model = small_llama()
    model.save_pretrained(tmp_path)
    trained = copy.deepcopy(model)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return str(tmp_path), model, trained


Start = tuple[str, LlamaForCausalLM, LlamaForCausalLM]


def cause_of(sampler: TransformersSampler, start: Start, temperature: float = 1.0) -> str:
    source, _, trained = start
    return likely_cause(
        trained,
        sampler,
        rollout(),
        tensors=lambda: iter(trained.state_dict().items()),
        temperature=temperature,
        source=source,
        version=1,
    )


def test_a_skipped_sync_is_named(start: Start):
    assert "a sync was skipped" in cause_of(OwnWeights(start[1]), start)


def test_a_stale_lm_head_is_named(start: Start):
    assert "lm_head" in cause_of(OwnWeights(start[1], leaves_out="lm_head"), start)


def test_a_sync_that_never_arrives_is_named(start: Start):
    cause = cause_of(OwnWeights(start[1], leaves_out=""), start)
    assert "still holds the weights that the stage began with" in cause


def test_logprobs_of_another_temperature_are_named(start: Start):
    assert "temperature 1" in cause_of(AtTemperatureOne(start[1]), start, temperature=0.5)


def test_another_model_is_not_taken_for_any_of_them(start: Start):
    cause = cause_of(OwnWeights(small_llama(seed=9), leaves_out=""), start)
    assert "another model" in cause
