"""The learner: log-probs, one update, what it refuses, and going on bit for bit."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from accelerate import Accelerator
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from palestra.errors import CheckpointError, TrainingError
from palestra.learner import logprobs
from palestra.learner.config import OptimConfig
from palestra.learner.learner import Learner, LearnerConfig, learning_rate, supervised_loss
from palestra.learner.logprobs import Policy, padded
from palestra.learner.packing import pack_examples
from palestra.optimizers.base import Loss, Outputs
from palestra.optimizers.batch import Batch
from palestra.optimizers.grpo import GRPO, GRPOConfig

VOCAB = 64
SIZES = dict(
    vocab_size=VOCAB,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
)


def tiny_llama(seed: int = 0, **options: Any) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(**{**SIZES, "initializer_range": 0.2, **options})
    return LlamaForCausalLM(config).eval()


def make_learner(
    model: PreTrainedModel,
    rescue: Path | None = None,
    optim: dict[str, Any] | None = None,
    **config: Any,
) -> Learner:
    optim = {"learning_rate": 1e-2, **(optim or {})}
    settings: dict[str, Any] = {"total_updates": 10, "token_budget": 60, **config}
    return Learner(
        model,
        Accelerator(cpu=True),
        LearnerConfig(optim=OptimConfig(**optim), **settings),
        pad=0,
        rescue=rescue,
    )


def make_batch(seed: int = 0, count: int = 8) -> Batch:
    random = np.random.default_rng(seed)
    pairs = [
        (
            random.integers(3, VOCAB, random.integers(1, 9)),
            random.integers(3, VOCAB, random.integers(1, 12)),
        )
        for _ in range(count)
    ]
    batch = pack_examples([(p.tolist(), c.tolist()) for p, c in pairs])
    scores = torch.tensor([0.0, 1.0, 0.5, 0.0] * (count // 8) + [1.0] * (count - 4 * (count // 8)))
    groups = torch.arange(count) // 4
    return Batch(
        **{f: getattr(batch, f) for f in batch.__slots__} | {"scores_S": scores, "group_S": groups}
    )


def grpo_batch(seed: int = 0, **options: Any) -> tuple[Batch, GRPO]:
    optimizer = GRPO(GRPOConfig(**options))
    batch = make_batch(seed)
    return batch.with_fields(optimizer.advantages(batch)), optimizer


def reference_logprobs(model: PreTrainedModel, batch: Batch, temperature: float) -> torch.Tensor:
    """Sequence by sequence, from HF's own logits."""
    out = []
    for ids, mask in zip(batch.token_ids, batch.loss_mask, strict=True):
        row = torch.tensor(ids)
        with torch.no_grad():
            logits = model(input_ids=row[None]).logits[0].double() / temperature
        every = logits[:-1].log_softmax(-1).gather(-1, row[1:, None])[:, 0]
        out.append(every[torch.tensor(mask)[1:]])
    return torch.cat(out).float()


def weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


# --- log-probs -------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.0])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("budget", [1, 50, 10_000])
def test_logprobs_are_the_log_softmax_of_the_models_logits(
    temperature: float, tied: bool, budget: int
):
    model, batch = tiny_llama(tie_word_embeddings=tied), make_batch()
    want = reference_logprobs(model, batch, temperature)
    learner = make_learner(model, temperature=temperature, token_budget=budget)
    got = learner.annotate(batch, frozenset({"old_logprobs"}))["old_logprobs"]
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    assert learner._policy._fused


@pytest.mark.parametrize("size", [64, 50_000])
def test_a_heads_gradient_is_that_of_all_logits_at_once(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small head goes by torch's chunks, a large one by a few of ours."""
    model, batch = tiny_llama(vocab_size=size), make_batch(count=24)
    monkeypatch.setattr(logprobs, "_ROWS", 8)
    monkeypatch.setattr(logprobs, "_CHUNK", {"cpu": 16 * size, "cuda": 16 * size})
    ids, rows, columns = padded(batch, 0, torch.device("cpu"))
    weight = torch.linspace(-1, 1, len(rows))
    assert len(rows) > 4 * 16
    got, _ = Policy(model)(ids, rows, columns, 0.8, False)
    (got * weight).sum().backward()
    own = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    every = (model(input_ids=ids).logits[rows, columns - 1] / 0.8).log_softmax(-1)
    want = every.gather(-1, ids[rows, columns][:, None]).squeeze(-1)
    (want * weight).sum().backward()
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    for name, p in model.named_parameters():
        torch.testing.assert_close(own[name], p.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_a_large_head_is_read_for_many_tokens_at_a_time() -> None:
    """Chunks of a few tokens each would read all of it for each of them."""
    for vocabulary, rows in ((49_152, 85), (152_064, 64)):
        head = torch.empty(vocabulary, 576)
        assert logprobs._chunks(head).batch_chunk_size == rows


# What each model does to hidden @ head, strongly enough to show on the first batch or not.
ODD_MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "gemma2 caps its logits": ("Gemma2", {"final_logit_softcapping": 5.0, "head_dim": 16}),
    "gemma2 caps them out of sight": ("Gemma2", {"final_logit_softcapping": 30.0, "head_dim": 16}),
    "cohere scales": ("Cohere", {"logit_scale": 0.0625}),
    "granite scales": ("Granite", {"logits_scaling": 8.0}),
    "granite scales a little": ("Granite", {"logits_scaling": 1.001}),
    "phi has a bias": ("Phi", {}),
}


def odd_model(name: str) -> PreTrainedModel:
    torch.manual_seed(1)
    family, options = ODD_MODELS[name]
    config = getattr(transformers, f"{family}Config")(
        **{**SIZES, "num_key_value_heads": 2, "initializer_range": 0.02, **options}
    )
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    if family == "Phi":
        torch.nn.init.normal_(model.lm_head.bias)
    return model


@pytest.mark.parametrize("name", ODD_MODELS)
def test_a_model_whose_logits_are_more_than_hidden_times_head_goes_through_its_logits(name: str):
    model, batch = odd_model(name), make_batch()
    learner = make_learner(model)
    got = learner.annotate(batch, frozenset({"old_logprobs"}))["old_logprobs"]
    torch.testing.assert_close(got, reference_logprobs(model, batch, 1.0), atol=1e-5, rtol=1e-5)
    # As it trains, its logits grow: what was too small to see on the first batch must not matter.
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(60)
        head = model.get_output_embeddings().weight
        if head is not model.get_input_embeddings().weight:
            head.mul_(60)
    got = learner.annotate(batch, frozenset({"old_logprobs"}))["old_logprobs"]
    torch.testing.assert_close(got, reference_logprobs(model, batch, 1.0), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
def test_exact_entropy_is_that_of_the_tempered_distribution(fused: bool):
    model, batch = tiny_llama(), make_batch()
    policy = Policy(model)
    policy._fused = fused
    logprobs, entropy = policy(*padded(batch, 0, torch.device("cpu")), 0.7, True)
    assert entropy is not None
    want = []
    for ids, mask in zip(batch.token_ids, batch.loss_mask, strict=True):
        every = (model(input_ids=torch.tensor(ids)[None]).logits[0, :-1] / 0.7).log_softmax(-1)
        want.append(-(every.exp() * every).sum(-1)[torch.tensor(mask)[1:]])
    torch.testing.assert_close(entropy, torch.cat(want), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        logprobs.detach(), reference_logprobs(model, batch, 0.7), atol=1e-5, rtol=1e-5
    )


def test_logprobs_know_no_dropout_and_do_not_depend_on_what_ran_before():
    model = tiny_llama(attention_dropout=0.5)
    batch, optimizer = grpo_batch()
    want = reference_logprobs(model, batch, 1.0)
    learner = make_learner(model, optim={"learning_rate": 1e-30})
    learner.update(
        batch, optimizer.loss
    )  # leaves the model in training mode, its weights as they were
    got = learner.annotate(batch, frozenset({"old_logprobs"}))["old_logprobs"]
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


# --- one update ------------------------------------------------------------------------------


def test_supervised_training_learns_its_examples():
    learner, batch = make_learner(tiny_llama()), make_batch()
    losses = [learner.update(batch, supervised_loss)["loss"] for _ in range(25)]
    assert losses[-1] < losses[0] / 4
    want = -reference_logprobs(tiny_llama(), batch, 1.0).mean()
    assert losses[0] == pytest.approx(float(want), rel=1e-5)


def test_a_policy_gradient_raises_what_was_rewarded():
    batch, optimizer = grpo_batch()
    learner = make_learner(tiny_llama(), optim={"learning_rate": 1e-3})
    before = reference_logprobs(learner.model, batch, 1.0)
    for _ in range(5):
        learner.update(batch, optimizer.loss)
    gain = reference_logprobs(learner.model, batch, 1.0) - before
    assert float((gain * batch["advantages"]).sum()) > 0


def test_an_update_leaves_no_gradient_behind():
    batch, optimizer = grpo_batch()
    learner = make_learner(tiny_llama())
    learner.update(batch, optimizer.loss)
    assert all(p.grad is None or not p.grad.any() for p in learner.model.parameters())


def test_metrics_are_means_over_the_updates_tokens():
    batch, optimizer = grpo_batch(kl=0.1)
    ones = batch.with_fields({"ref_logprobs": torch.zeros(batch.total.tokens)})
    for budget in (1, 10_000):
        learner = make_learner(tiny_llama(), token_budget=budget)
        metrics = learner.update(ones, optimizer.loss)
        now = reference_logprobs(tiny_llama(), batch, 1.0)
        k3 = (0 - now).exp() - (0 - now) - 1
        assert metrics["kl"] == pytest.approx(float(k3.mean()), rel=1e-4)
        assert metrics["clip_share"] == 0.0
        assert metrics["tokens_trained"] == batch.total.tokens


@pytest.mark.parametrize("limit", [1e-4, 0.01, 1e9])
def test_the_gradient_is_clipped_to_its_norm(limit: float):
    batch, optimizer = grpo_batch()
    learner = make_learner(tiny_llama(), optim={"max_grad_norm": limit})
    seen: list[float] = []
    step = learner._optimizer.step

    def spy() -> None:
        norm = torch.stack(
            [p.grad.norm() for p in learner.model.parameters() if p.grad is not None]
        )
        seen.append(float(norm.norm()))
        step()

    learner._optimizer.step = spy
    metrics = learner.update(batch, optimizer.loss)
    assert metrics["grad_norm"] > 0.01
    assert seen[0] == pytest.approx(min(limit, metrics["grad_norm"]), rel=1e-3)


def test_an_update_is_adamw_at_the_scheduled_rate():
    optim: dict[str, Any] = dict(
        learning_rate=1e-2,
        weight_decay=0.1,
        betas=(0.8, 0.95),
        eps=1e-6,
        warmup_steps=2,
        max_grad_norm=1e9,
    )
    batch = make_batch()
    learner = make_learner(tiny_llama(), optim=optim)
    mirror = tiny_llama()
    torch_optimizer = torch.optim.AdamW(
        mirror.parameters(), lr=0.0, weight_decay=0.1, betas=(0.8, 0.95), eps=1e-6
    )
    for update in range(4):
        metrics = learner.update(batch, supervised_loss)
        rate = 1e-2 * min(1, (update + 1) / 2)
        assert metrics["learning_rate"] == pytest.approx(rate)
        torch_optimizer.param_groups[0]["lr"] = rate
        torch_optimizer.zero_grad()
        policy = Policy(mirror)
        logprobs, _ = policy(*padded(batch, 0, torch.device("cpu")), 1.0, False)
        (-logprobs.mean()).backward()
        torch_optimizer.step()
    for name, value in weights(mirror).items():
        torch.testing.assert_close(weights(learner.model)[name], value, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("schedule", "ratio", "expected"),
    [
        ("constant", 0.0, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", 0.0, [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ("linear", 0.2, [0.25, 0.5, 0.75, 1.0, 1.0, 0.8, 0.6, 0.4]),
        (
            "cosine",
            0.0,
            [
                0.25,
                0.5,
                0.75,
                1.0,
                1.0,
                0.5 * (1 + math.sqrt(0.5)),
                0.5,
                0.5 * (1 - math.sqrt(0.5)),
            ],
        ),
    ],
)
def test_learning_rate_warms_up_and_falls(schedule: Any, ratio: float, expected: list[float]):
    optim = OptimConfig(learning_rate=2.0, warmup_steps=4, schedule=schedule, min_lr_ratio=ratio)
    rates = [learning_rate(optim, update, 8) / 2 for update in range(8)]
    assert rates == pytest.approx(expected)
    assert learning_rate(optim, 8, 8) / 2 == pytest.approx(1.0 if schedule == "constant" else ratio)


# --- skipping --------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [1, 40, 10_000])
def test_skipping_sequences_without_advantage_never_changes_the_weights(budget: int):
    """The second group of the batch has equal scores; then a batch where no group has signal."""
    ends = []
    for skip in (False, True):
        learner = make_learner(
            tiny_llama().double(),  # Adam makes much of the last bit of a small gradient
            optim={"weight_decay": 0.1},
            token_budget=budget,
            skip_zero_advantage=skip,
        )
        batch, optimizer = grpo_batch()
        silent = batch.with_fields({"advantages": batch["advantages"] * 0})
        rows = [learner.update(b, optimizer.loss) for b in (batch, silent, batch)]
        assert rows[0]["tokens_trained"] == (
            int(batch.lengths_S[:4].sum()) if skip else batch.total.tokens
        )
        assert rows[1]["loss"] == 0.0
        assert rows[1]["grad_norm"] == 0.0
        ends.append((weights(learner.model), rows, learner.updates))
    for name, value in ends[0][0].items():
        torch.testing.assert_close(ends[1][0][name], value, atol=1e-9, rtol=1e-9)
    for left, right in zip(ends[0][1], ends[1][1], strict=True):
        for key in ("loss", "grad_norm", "learning_rate"):
            assert right[key] == pytest.approx(left[key], rel=1e-5, abs=1e-9)
    assert ends[0][2] == ends[1][2] == 3


def test_an_update_without_signal_still_takes_adams_step():
    batch, optimizer = grpo_batch()
    learner = make_learner(tiny_llama(), skip_zero_advantage=True)
    learner.update(batch, optimizer.loss)
    before = weights(learner.model)
    learner.update(batch.with_fields({"advantages": batch["advantages"] * 0}), optimizer.loss)
    assert not same(before, weights(learner.model))  # its momentum goes on


# --- the reference ---------------------------------------------------------------------------


def test_the_reference_is_refreshed_every_n_updates():
    batch, optimizer = grpo_batch()
    learner = make_learner(tiny_llama(), keep_reference=True, reference_every=2)
    want = reference_logprobs(learner.model, batch, 1.0)
    for update in range(1, 6):
        learner.update(batch, optimizer.loss)
        if update % 2 == 0:
            want = reference_logprobs(learner.model, batch, 1.0)
        got = learner.annotate(batch, frozenset({"ref_logprobs"}))["ref_logprobs"]
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_a_reference_without_refresh_stays_where_the_stage_began():
    batch, optimizer = grpo_batch()
    learner = make_learner(tiny_llama(), keep_reference=True)
    for _ in range(3):
        learner.update(batch, optimizer.loss)
    got = learner.annotate(batch, frozenset({"ref_logprobs"}))["ref_logprobs"]
    torch.testing.assert_close(
        got, reference_logprobs(tiny_llama(), batch, 1.0), atol=1e-5, rtol=1e-5
    )


# --- failing ---------------------------------------------------------------------------------


def poisoned(optimizer: GRPO, how: str) -> Callable[[Outputs, Batch], Loss]:
    def loss(now: Outputs, batch: Batch) -> Loss:
        honest = optimizer.loss(now, batch)
        if how == "loss":
            return Loss(value=honest.value * math.nan, metrics=honest.metrics)
        if how == "infinite":
            return Loss(value=honest.value + math.inf, metrics=honest.metrics)
        # sqrt at 0 is finite, its gradient is not
        return Loss(value=honest.value + (now.logprobs.sum() * 0).sqrt(), metrics=honest.metrics)

    return loss


@pytest.mark.parametrize("how", ["loss", "infinite", "gradient"])
def test_a_loss_that_is_no_number_stops_the_run_and_saves_the_batch(how: str, tmp_path: Path):
    batch, optimizer = grpo_batch()
    learner = make_learner(tiny_llama(), rescue=tmp_path / "nan-batch.pt")
    learner.update(batch, optimizer.loss)
    before, state = weights(learner.model), copy.deepcopy(learner._optimizer.state_dict())
    with pytest.raises(TrainingError, match=r"update 2.*nan-batch\.pt") as caught:
        learner.update(batch, poisoned(optimizer, how))
    assert ("grad_norm" if how == "gradient" else "loss") in str(caught.value)
    assert same(before, weights(learner.model))
    assert learner.updates == 1
    after = learner._optimizer.state_dict()["state"]
    assert all(torch.equal(after[k]["exp_avg"], v["exp_avg"]) for k, v in state["state"].items())
    saved = torch.load(tmp_path / "nan-batch.pt", weights_only=False)["batch"]
    assert all(np.array_equal(a, b) for a, b in zip(saved.token_ids, batch.token_ids, strict=True))
    assert torch.equal(saved["advantages"], batch["advantages"])
    # The rescued batch is a batch, and the learner still works.
    learner.update(saved, optimizer.loss)


def test_a_rescue_that_cannot_be_written_does_not_hide_the_nan(tmp_path: Path):
    batch, optimizer = grpo_batch()
    learner = make_learner(tiny_llama(), rescue=tmp_path / "no" / "such" / "folder.pt")
    with pytest.raises(TrainingError, match="not finite"):
        learner.update(batch, poisoned(optimizer, "loss"))


# --- going on --------------------------------------------------------------------------------


def tokenizer() -> PreTrainedTokenizerFast:
    words = {f"t{i}": i for i in range(VOCAB)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="t3")),
        eos_token="t2",
        pad_token="t0",
    )


@pytest.mark.parametrize("tied", [False, True])
def test_a_loaded_learner_goes_on_bit_for_bit(tied: bool, tmp_path: Path):
    def fresh(seed: int) -> Learner:
        return make_learner(
            tiny_llama(seed, tie_word_embeddings=tied),
            optim={"schedule": "cosine", "warmup_steps": 2, "weight_decay": 0.01},
            keep_reference=True,
            reference_every=2,
        )

    def step(learner: Learner, seed: int) -> dict[str, float]:
        batch, optimizer = grpo_batch(seed, kl=0.1)
        return learner.update(learner.annotate(batch, frozenset({"ref_logprobs"})), optimizer.loss)

    whole = fresh(0)
    for seed in range(3):
        step(whole, seed)
    whole.snapshot().write(tmp_path, tokenizer())
    rows = [step(whole, seed) for seed in range(3, 7)]

    again = fresh(5)  # other weights: all must come from the folder
    again.load(tmp_path)
    assert again.updates == 3
    assert [step(again, seed) for seed in range(3, 7)] == rows
    assert same(weights(again.model), weights(whole.model))


def test_what_is_saved_is_a_hugging_face_folder(tmp_path: Path):
    learner = make_learner(tiny_llama())
    learner.update(make_batch(), supervised_loss)
    learner.snapshot().write(tmp_path, tokenizer())
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert same(weights(loaded), weights(learner.model))
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "model").eos_token_id == 2


def test_loading_weights_that_do_not_fit_is_an_error(tmp_path: Path):
    """Never a model whose missing weights are those it was made with."""
    from safetensors.torch import load_file, save_file

    learner = make_learner(tiny_llama())
    learner.snapshot().write(tmp_path, tokenizer())
    file = tmp_path / "model" / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"missing keys: .*up_proj"):
        make_learner(tiny_llama(1)).load(tmp_path)


def test_an_optimizers_state_of_other_parameters_is_an_error(tmp_path: Path):
    learner = make_learner(tiny_llama())
    learner.update(make_batch(), supervised_loss)
    learner.snapshot().write(tmp_path, tokenizer())
    state = torch.load(tmp_path / "learner.pt", weights_only=True)
    count = len(state["optimizer"]["param_groups"][0]["params"])
    state["optimizer"]["param_groups"][0]["params"] = list(range(count))  # torch's own names
    torch.save(state, tmp_path / "learner.pt")
    with pytest.raises(CheckpointError, match="of other parameters, or of an earlier version"):
        make_learner(tiny_llama(1)).load(tmp_path)


def test_a_sharded_checkpoint_is_loaded_whole(tmp_path: Path):
    learner = make_learner(tiny_llama())
    learner.update(make_batch(), supervised_loss)
    learner.snapshot().write(tmp_path, tokenizer())
    (tmp_path / "model" / "model.safetensors").unlink()
    learner.model.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    assert len(list((tmp_path / "model").glob("*.safetensors"))) > 1
    again = make_learner(tiny_llama(7))
    again.load(tmp_path)
    assert same(weights(again.model), weights(learner.model))


def test_a_mixture_of_experts_comes_back_whole(tmp_path: Path):
    """transformers keeps its experts fused in memory, and writes them one by one."""

    def moe(seed: int) -> PreTrainedModel:
        torch.manual_seed(seed)
        config = transformers.MixtralConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2)
        return transformers.MixtralForCausalLM(config).eval()

    learner = make_learner(moe(0))
    learner.update(make_batch(), supervised_loss)
    learner.snapshot().write(tmp_path, tokenizer())
    again = make_learner(moe(1))
    again.load(tmp_path)
    assert same(weights(again.model), weights(learner.model))


@pytest.mark.parametrize("tied", [False, True])
def test_named_tensors_are_the_checkpoints_names_tied_heads_included(tied: bool):
    learner = make_learner(tiny_llama(tie_word_embeddings=tied))
    tensors = dict(learner.named_tensors())
    assert "lm_head.weight" in tensors
    assert "model.embed_tokens.weight" in tensors
    assert torch.equal(tensors["lm_head.weight"], learner.model.lm_head.weight)
    assert not any("module." in name for name in tensors)
