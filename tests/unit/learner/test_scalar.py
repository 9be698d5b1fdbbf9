"""Training a scalar reward model: golden losses, and a gradient that no micro-batch changes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from palestra.errors import CheckpointError, TrainingError
from palestra.learner.config import OptimConfig
from palestra.learner.scalar import ScalarLearner, pairwise_loss, pointwise_loss, right
from palestra.tiny.paths import student_dir

PAIRS = [
    (([5, 6, 7, 1], [8, 9, 1]), 1.0),
    (([10, 11, 1], [12, 13, 14, 15, 16, 1]), 1.0),
    (([20, 1], [21, 22, 1]), 1.0),
]


def learner(
    budget: int = 8192, pairwise: bool = True, rate: float = 1e-2, eps: float = 1e-8
) -> ScalarLearner:
    logging.set_verbosity_error()
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(student_dir(), num_labels=1)
    model.config.pad_token_id = 0
    optim = OptimConfig(learning_rate=rate, eps=eps)
    return ScalarLearner(model, Accelerator(cpu=True), optim, 10, budget, 0, pairwise)


def test_pairs_lose_minus_log_sigmoid_of_their_difference():
    scores = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 1.0]], dtype=torch.float64)
    expected = [math.log(1 + math.exp(-1)), math.log(1 + math.exp(3)), math.log(2)]
    assert pairwise_loss(scores, torch.ones(3)).tolist() == pytest.approx(expected)
    assert expected == pytest.approx([0.3132617, 3.0485874, 0.6931472])
    assert right(scores, torch.ones(3)).tolist() == [1.0, 0.0, 0.5]


def test_labels_lose_binary_cross_entropy():
    scores = torch.tensor([[2.0], [2.0], [0.0]], dtype=torch.float64)
    labels = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    expected = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(2)), math.log(2)]
    assert pointwise_loss(scores, labels).tolist() == pytest.approx(expected)
    assert expected == pytest.approx([0.1269280, 2.1269280, 0.6931472])
    assert right(scores, labels).tolist() == [1.0, 0.0, 0.5]


def test_an_update_is_the_same_for_any_micro_batch():
    # With so large an eps a step of Adam's is as long as the gradient.
    whole, cut = learner(rate=1.0, eps=1.0), learner(budget=1, rate=1.0, eps=1.0)
    metrics = [one.update(PAIRS) for one in (whole, cut)]
    for name, value in metrics[0].items():
        assert metrics[1][name] == pytest.approx(value, rel=1e-4), name
    pairs = zip(whole.model.parameters(), cut.model.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)
    assert metrics[0]["tokens_trained"] == 21


def test_the_loss_of_an_update_is_the_mean_over_its_pairs():
    one = learner()
    scores, labels = one.scores(PAIRS)
    expected = pairwise_loss(scores, labels).mean()
    assert one.update(PAIRS)["loss"] == pytest.approx(float(expected), rel=1e-5)


def test_scores_do_not_depend_on_what_else_is_scored():
    one = learner()
    together, _ = one.scores(PAIRS)
    alone = torch.cat([one.scores([pair])[0] for pair in PAIRS])
    assert torch.allclose(together, alone, atol=1e-5)
    assert together.std() > 1e-3


def test_training_learns_the_order_of_pairs_and_the_labels():
    pairs = learner(rate=1e-3)
    for _ in range(10):
        metrics = pairs.update(PAIRS)
    assert metrics["pair_accuracy"] == 1.0
    assert metrics["margin"] > 0
    rated = learner(pairwise=False, rate=1e-3)
    items = [((texts[0],), 1.0) for texts, _ in PAIRS] + [((texts[1],), 0.0) for texts, _ in PAIRS]
    for _ in range(30):
        metrics = rated.update(items)
    assert metrics["label_accuracy"] == 1.0
    assert "margin" not in metrics


def test_what_is_saved_goes_on_as_if_it_had_not_stopped(tmp_path: Path):
    one = learner()
    one.update(PAIRS)
    one.snapshot().write(tmp_path, AutoTokenizer.from_pretrained(student_dir()))
    other = learner()
    other.load(tmp_path)
    assert one.update(PAIRS) == other.update(PAIRS)
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_weights_of_another_model_are_refused(tmp_path: Path):
    from transformers import AutoModelForCausalLM

    one = learner()
    one.snapshot().write(tmp_path, AutoTokenizer.from_pretrained(student_dir()))
    AutoModelForCausalLM.from_pretrained(student_dir()).save_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match=r"missing keys: score\.weight"):
        one.load(tmp_path)


def test_a_loss_that_is_no_number_stops_and_changes_nothing():
    one = learner()
    with torch.no_grad():
        one.model.score.weight.fill_(math.nan)
    before = [p.clone() for p in one.model.parameters()]
    with pytest.raises(TrainingError, match="loss and grad_norm not finite at update 1"):
        one.update(PAIRS)
    for a, b in zip(before, one.model.parameters(), strict=True):
        assert (
            torch.equal(
                a,
                b,
            )
            or a.isnan().any()
        )
