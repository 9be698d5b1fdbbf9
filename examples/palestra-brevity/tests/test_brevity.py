"""Run with the package installed: `pip install -e '.[test]'`, then `pytest`."""

import numpy as np
import pytest
import torch

from palestra.optimizers.base import Outputs
from palestra.optimizers.batch import Batch, Totals
from palestra.plugins.registry import Kind, get_registry
from palestra.rewards.base import Scored


def batch(scores, groups):
    """Sequences of two tokens each."""
    count = len(scores)
    sequence_T = torch.arange(count).repeat_interleave(2)
    zeros_T = torch.zeros(2 * count)
    return Batch(
        token_ids=tuple(np.arange(3) for _ in scores),
        loss_mask=tuple(np.array([False, True, True]) for _ in scores),
        rewards_T=zeros_T,
        scores_S=torch.tensor(scores),
        sequence_T=sequence_T,
        group_S=torch.tensor(groups),
        source_S=torch.zeros(count, dtype=torch.long),
        turn_T=torch.zeros(2 * count, dtype=torch.long),
        version_T=torch.zeros(2 * count, dtype=torch.long),
        sampler_logprobs_T=zeros_T,
        total=Totals(tokens=2 * count, sequences=count),
    )


@pytest.fixture
def optimizer():
    registry = get_registry()
    config = registry.config(Kind.POLICY_OPTIMIZER, "reinforce_loo")
    return registry.load(Kind.POLICY_OPTIMIZER, "reinforce_loo")(config())


def test_each_is_held_against_the_others_of_its_group(optimizer):
    rollout = batch([1.0, 0.0, 0.5, 1.0, 1.0, 3.0], [7, 7, 7, 9, 9, 4])
    advantages = optimizer.advantages(rollout)["advantages"]
    expected = [0.75, -0.75, 0.0, 0.0, 0.0, 0.0]
    assert advantages[::2].tolist() == advantages[1::2].tolist() == pytest.approx(expected)


def test_the_gradient_makes_the_better_completion_likelier(optimizer):
    rollout = batch([1.0, 0.0], [0, 0])
    rollout = rollout.with_fields(optimizer.advantages(rollout))
    logprobs = torch.full((4,), -1.0, requires_grad=True)
    optimizer.loss(Outputs(logprobs=logprobs), rollout).value.backward()
    assert logprobs.grad.tolist() == [-0.25, -0.25, 0.25, 0.25]


@pytest.mark.parametrize(
    ("completion", "paid"),
    [
        ("<think></think><answer>7</answer>", 1.0),
        (f"<think>{'x' * 250}</think><answer>7</answer>", 0.75),
        (f"<think>{'x' * 5000}</think><answer>7</answer>", 0.0),
        ("<think>cut off", 0.0),
        ("<think>no answer</think>  ", 0.0),
        ("", 0.0),
    ],
)
def test_brevity_falls_with_the_length_of_the_thoughts(completion, paid):
    model = get_registry().load(Kind.REWARD_MODEL, "brevity")()
    item = Scored(messages=[], completion=completion, language=None, env_id="a/B-v1", task_id="1")
    (score,) = model.score([item])
    assert score.value == score.components["brevity"] == pytest.approx(paid)
