"""The optimizers against numbers that the papers give, or that were worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.optimizers.test_grpo import make_batch, tiny_llama

from palestra.envs import Status
from palestra.errors import ConfigError
from palestra.optimizers.base import Outputs, PolicyOptimizer
from palestra.optimizers.batch import Batch
from palestra.rollout.trajectory import Group, Trajectory
from palestra_grpo_variants.cispo import CISPO
from palestra_grpo_variants.dapo import DAPO, DAPOConfig
from palestra_grpo_variants.dr_grpo import DrGRPO
from palestra_grpo_variants.gspo import GSPO
from palestra_grpo_variants.off_policy import OffPolicyGRPO
from palestra_grpo_variants.process import ProcessGRPO
from palestra_ppo.critic import Critic, make_critic
from palestra_ppo.ppo import PPO
from palestra_reinforce.reinforce_pp import ReinforcePP, ReinforcePPBaseline
from palestra_reinforce.rloo import RLOO

EQUAL_SIZE = {"critic": {"from": "policy"}}


def made(optimizer: type[PolicyOptimizer], **options: Any) -> Any:
    return optimizer(optimizer.Config.model_validate(options))


def advantages(optimizer: PolicyOptimizer, batch: Batch) -> list[float]:
    return optimizer.advantages(batch)["advantages"].tolist()


def one_token_each(rewards: list[float], group_size: int) -> Batch:
    scores = [float(reward) for reward in rewards]
    batch = make_batch([(1, 1)] * len(scores), scores, group_size)
    return batch.with_fields({"paid": torch.ones(len(scores), dtype=torch.bool)})


def at_ratio(ratio: float, advantage: float, **fields: float) -> tuple[Outputs, Batch]:
    """One token whose probability is now `ratio` times what it was."""
    named = {"old_logprobs": -1.0, "advantages": advantage, **fields}
    batch = make_batch([(1, 1)], [0.0], 1).with_fields(
        {k: torch.tensor([v], dtype=torch.float64) for k, v in named.items()}
    )
    now = torch.tensor([-1.0 + math.log(ratio)], dtype=torch.float64, requires_grad=True)
    return Outputs(logprobs=now), batch


# --- advantages ------------------------------------------------------------------------------


def with_values(rewards: list[float], values: list[float]) -> Batch:
    batch = make_batch([(1, len(rewards))], [float(sum(rewards))], 1)
    return replace(batch, rewards_T=torch.tensor(rewards, dtype=torch.float32)).with_fields(
        {"values": torch.tensor(values)}
    )


@pytest.mark.parametrize(
    ("lam", "gae", "returns"),
    [(0.95, [0.46575, 0.385, 0.3], [0.96575, 0.985, 1.0]), (1.0, [0.5, 0.4, 0.3], [1.0, 1.0, 1.0])],
)
def test_gae_and_returns_are_the_golden_ones(lam: float, gae: list[float], returns: list[float]):
    got = made(PPO, lam=lam, **EQUAL_SIZE).advantages(with_values([0, 0, 1], [0.5, 0.6, 0.7]))
    assert got["returns"].tolist() == pytest.approx(returns, abs=1e-6)
    white = (np.array(gae) - np.mean(gae)) / np.sqrt(np.var(gae, ddof=1) + 1e-8)
    assert got["advantages"].tolist() == pytest.approx(list(white), abs=1e-5)


def test_gae_discounts_by_gamma():
    # delta = (.9 x .6 - .5, .9 x .7 - .6, 1 - .7) = (.04, .03, .3); discount .9 x .5 = .45
    got = made(PPO, gamma=0.9, lam=0.5, **EQUAL_SIZE).advantages(
        with_values([0, 0, 1], [0.5, 0.6, 0.7])
    )
    assert got["returns"].tolist() == pytest.approx([0.5 + 0.11425, 0.6 + 0.165, 1.0], abs=1e-6)


def test_ppos_kl_is_in_each_tokens_reward():
    batch = with_values([0, 0, 1], [0.0, 0.0, 0.0]).with_fields(
        {
            "old_logprobs": torch.tensor([-1.0, -1.0, -1.0]),
            "ref_logprobs": torch.tensor([-1.5, -0.8, -1.0]),
        }
    )
    optimizer = made(PPO, lam=1.0, kl=0.1, **EQUAL_SIZE)
    assert optimizer.needs == {"old_logprobs", "ref_logprobs", "values"}
    assert optimizer.advantages_need_old_logprobs
    # KL .5, -.2, 0: rewards -.05, .02, 1
    assert optimizer.advantages(batch)["returns"].tolist() == pytest.approx([0.97, 1.02, 1.0])


def test_rloos_advantages_are_the_golden_ones():
    got = advantages(made(RLOO), one_token_each([1, 0, 0, 0], 4))
    assert got == pytest.approx([1.0, -1 / 3, -1 / 3, -1 / 3])


def test_rloo_takes_the_summed_kl_off_the_reward():
    batch = make_batch([(1, 2), (1, 1)], [1.0, 0.0], 2).with_fields(
        {"old_logprobs": torch.zeros(3), "ref_logprobs": torch.tensor([-1.0, -2.0, 0.0])}
    )
    # 1 - .1 x 3 = .7 against 0
    assert advantages(made(RLOO, kl=0.1), batch) == pytest.approx([0.7, 0.7, -0.7])


def test_reinforce_pp_baselines_advantages_are_the_golden_ones():
    got = advantages(made(ReinforcePPBaseline), one_token_each([1, 0, 1, 1], 2))
    assert got == pytest.approx([1.2247449, -1.2247449, 0.0, 0.0], abs=1e-5)


def test_reinforce_pp_whitens_rewards_to_go_over_all_tokens():
    batch = make_batch([(1, 3), (1, 1)], [1.0, 0.0], 1)
    # returns 1, 1, 1, 0: mean .75, sample deviation .5
    assert advantages(made(ReinforcePP), batch) == pytest.approx([0.5, 0.5, 0.5, -1.5], abs=1e-5)


def test_dr_grpo_does_not_divide_by_the_deviation():
    got = advantages(made(DrGRPO, max_length=9), one_token_each([1, 0, 0, 0], 4))
    assert got == pytest.approx([0.75, -0.25, -0.25, -0.25])


@pytest.mark.parametrize("optimizer", [DAPO, GSPO, CISPO, OffPolicyGRPO, ProcessGRPO])
def test_the_others_are_normalised_as_grpo_is(optimizer: type[PolicyOptimizer]):
    got = advantages(made(optimizer), one_token_each([1, 0, 0, 0], 4))
    assert got == pytest.approx([1.4997001, -0.4999, -0.4999, -0.4999], abs=1e-6)
    got = advantages(made(optimizer, std="population", eps=0.0), one_token_each([1, 0, 0, 0], 4))
    assert got == pytest.approx([1.7320508, -0.5773503, -0.5773503, -0.5773503], abs=1e-6)


def test_process_advantages_are_the_golden_ones():
    batch = make_batch([(1, 5), (1, 3)], [0.0, 0.0], 2)
    rewards, paid = torch.zeros(8), torch.zeros(8, dtype=torch.bool)
    rewards[1], paid[[1, 4, 7]] = 1.0, True  # o_1: 1 at its token 2, 0 at 5; o_2: 0 at its end
    batch = replace(batch, rewards_T=rewards).with_fields({"paid": paid})
    got = advantages(made(ProcessGRPO, std="population", eps=0.0), batch)
    assert got == pytest.approx([0.7071068] * 2 + [-0.7071068] * 6, abs=1e-6)


@pytest.mark.parametrize(
    ("length", "cost"),
    [(16_384, 0.0), (16_385, 1 / 4096), (18_432, 0.5), (20_480, 1.0), (30_000, 1)],
)
def test_overlong_completions_cost_what_dapo_says(length: int, cost: float):
    optimizer = made(DAPO, overlong={"max_length": 20_480, "buffer": 4_096})
    batch = make_batch([(1, length), (1, 1)], [1.0, 1.0], 2)
    assert optimizer.scores(batch).tolist() == pytest.approx([1.0 - cost, 1.0], abs=1e-6)


# --- losses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective"),
    [(1.5, 1.0, 1.28), (1.5, -1.0, -1.5), (0.5, 1.0, 0.5), (0.5, -1.0, -0.8)],
)
def test_dapos_objective_is_the_golden_one(ratio: float, advantage: float, objective: float):
    loss = made(DAPO).loss(*at_ratio(ratio, advantage))
    assert float(loss.value.detach()) == pytest.approx(-objective)


def test_gspos_ratio_is_the_geometric_mean():
    batch = make_batch([(1, 3)], [0.0], 1).with_fields(
        {"old_logprobs": torch.zeros(3).double(), "advantages": torch.ones(3).double()}
    )
    now = Outputs(logprobs=torch.tensor([0.2, -0.1, 0.5]).double())
    loss = made(GSPO, clip=0.9, clip_high=0.9).loss(now, batch)
    assert float(loss.value) == pytest.approx(-1.2214028, abs=1e-7)
    assert float(made(GSPO).loss(now, batch).value) == pytest.approx(-1.0004)


@pytest.mark.parametrize(
    ("ratio", "weight", "cut"), [(1.5, 1.5, 0), (9.0, 5.0, 1), (0.01, 0.01, 0)]
)
def test_cispo_keeps_every_gradient_and_bounds_its_weight(ratio: float, weight: float, cut: int):
    now, batch = at_ratio(ratio, -2.0)
    loss = made(CISPO).loss(now, batch)
    loss.value.backward()
    assert now.logprobs.grad is not None
    assert now.logprobs.grad.tolist() == pytest.approx([2.0 * weight])
    assert float(loss.value.detach()) == pytest.approx(2.0 * weight * (-1.0 + math.log(ratio)))
    assert float(loss.metrics["clip_share"]) == cut


def test_rloos_ratio_is_that_of_the_whole_completion():
    batch = make_batch([(1, 2), (1, 1)], [0.0, 0.0], 2).with_fields(
        {"old_logprobs": torch.zeros(3).double(), "advantages": torch.tensor([1.0, 1.0, -1.0])}
    )
    now = Outputs(logprobs=torch.tensor([0.05, 0.06, 0.7]).double())
    want = -(math.exp(0.11) - math.exp(0.7)) / 2  # the second is not cut: it gets worse
    assert float(made(RLOO).loss(now, batch).value) == pytest.approx(want)


@pytest.mark.parametrize(
    ("value", "before", "target", "loss", "cut"),
    [
        (1.0, 0.9, 0.0, 0.5, 0),  # moved less than the clip
        (1.0, 0.0, 1.0, 0.5 * 0.8**2, 1),  # right now, but moved too far: near is .2
        (1.0, 0.0, 0.0, 0.5, 0),  # moved too far, and wrong: the larger loss counts
    ],
)
def test_the_value_loss_is_clipped(value, before, target, loss, cut):
    now, batch = at_ratio(1.0, 0.0, values=before, returns=target)
    now = replace(now, values=torch.tensor([value], dtype=torch.float64))
    got = made(PPO, **EQUAL_SIZE).loss(now, batch)
    assert float(got.value.detach()) == pytest.approx(loss)
    assert float(got.metrics["value_clip_share"]) == cut


def test_the_actors_gradient_knows_no_values_and_the_critics_no_advantages():
    now, batch = at_ratio(1.1, 2.0, values=0.3, returns=1.0)
    now = replace(now, values=torch.tensor([0.3], dtype=torch.float64, requires_grad=True))
    made(PPO, **EQUAL_SIZE).loss(now, batch).value.backward()
    assert now.logprobs.grad is not None
    assert now.values is not None
    assert now.values.grad is not None
    assert now.logprobs.grad.tolist() == pytest.approx([-2.2])
    assert now.values.grad.tolist() == pytest.approx([-0.7])


@pytest.mark.parametrize(
    ("level", "weights"),
    [("token", [math.exp(-0.5), 2.0, 1.0]), ("sequence", [1.6487213] * 2 + [1.0])],
)
def test_off_policy_weights_are_truncated_and_have_no_gradient(level: str, weights: list[float]):
    batch = make_batch([(1, 2), (1, 1)], [0.0, 0.0], 2)
    old = torch.tensor([-1.5, -1.0, -1.0]).double()
    batch = replace(batch, sampler_logprobs_T=torch.tensor([-1.0, -2.0, -1.0])).with_fields(
        {"old_logprobs": old, "advantages": torch.ones(3).double()}
    )
    live = old.clone().requires_grad_()
    loss = made(OffPolicyGRPO, level=level).loss(Outputs(logprobs=live), batch)
    assert loss.metrics["importance_weight"].tolist() == pytest.approx(weights)
    loss.value.backward()
    assert live.grad is not None
    assert live.grad.tolist() == pytest.approx([-w / 3 for w in weights])


def test_off_policy_weights_are_not_taken_twice():
    now, batch = at_ratio(1.1, 1.0)
    batch = replace(batch, sampler_logprobs_T=torch.tensor([-1.5]).double())
    weighed = batch.with_fields({"importance_weights": torch.tensor([1.0]).double()})
    optimizer = made(OffPolicyGRPO)
    assert float(optimizer.loss(now, batch).value.detach()) == pytest.approx(-1.1 * math.exp(0.5))
    assert float(optimizer.loss(now, weighed).value.detach()) == pytest.approx(-1.1)


# --- dynamic sampling ------------------------------------------------------------------------


def group(*members: tuple[dict[str, float], float]) -> Group:
    def member(components: dict[str, float], reward: float) -> Trajectory:
        return Trajectory(
            env_id="a/B-v1",
            task_id="t",
            prompt_hash="h",
            messages=(),
            language=None,
            difficulty=None,
            token_ids=np.array([1, 2]),
            loss_mask=np.array([False, True]),
            sampler_logprobs=np.zeros(2, dtype=np.float32),
            versions=np.zeros(2, dtype=np.int32),
            rewards=((1, reward),),
            components=components,
            status=Status.OK,
            reason="",
            extracted=None,
            stop_reason="stop",
            text="x",
        )

    return Group(source=0, number=0, members=tuple(member(*m) for m in members))


@pytest.mark.parametrize(
    ("members", "kept"),
    [
        ([({"accuracy": 1.0}, 1.1), ({"accuracy": 0.0}, 0.1)], True),
        ([({"accuracy": 1.0}, 1.1), ({"accuracy": 1.0}, 1.0)], False),  # format alone differs
        ([({"accuracy": 0.0}, 0.1), ({"accuracy": 0.0}, 0.0)], False),
        ([({"win": 1.0}, 1.0), ({"win": 0.0}, 0.0)], True),
        ([({"win": 1.0}, 1.0), ({"win": 1.0}, 1.0)], False),
    ],
)
def test_dapo_keeps_groups_that_are_neither_all_right_nor_all_wrong(members: Any, kept: bool):
    assert made(DAPO).keep(group(*members)) is kept
    assert made(DAPO, dynamic_sampling=False).keep(group(*members))


# --- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"critic": None}, {"critic": {}}, {"critic": {"lr": 1}}])
def test_ppo_without_a_size_for_its_critic_is_refused_in_one_line(options: dict[str, Any]):
    with pytest.raises(ValueError, match=r"needs the size of its critic.*from: policy"):
        PPO.Config.model_validate(options)


def test_a_buffer_longer_than_the_longest_length_is_refused():
    with pytest.raises(ValueError, match="at most `max_length`, 10"):
        DAPOConfig.model_validate({"overlong": {"max_length": 10, "buffer": 11}})


# --- the critic ------------------------------------------------------------------------------


def test_a_critic_of_equal_size_begins_as_a_copy_that_says_nothing():
    policy = tiny_llama()
    critic = made(PPO, **EQUAL_SIZE).critic(policy)
    ids = torch.tensor([[1, 2, 3]])
    assert critic(ids).shape == (1, 3)
    assert not critic(ids).any()
    ours = dict(policy.model.named_parameters())
    for name, parameter in critic.backbone.named_parameters():
        assert torch.equal(parameter, ours[name])
        assert parameter.data_ptr() != ours[name].data_ptr()


def test_a_critic_from_a_smaller_model_reads_the_same_tokens(tmp_path):
    small = tiny_llama(1, dtype=torch.float32)
    small.save_pretrained(tmp_path / "small")
    critic = make_critic(tiny_llama(dtype=torch.float32), str(tmp_path / "small"))
    assert isinstance(critic, Critic)
    want = small.model(torch.tensor([[3, 4]])).last_hidden_state
    got = critic.backbone(input_ids=torch.tensor([[3, 4]])).last_hidden_state
    torch.testing.assert_close(got, want)


def test_a_critic_that_cannot_be_had_is_one_clear_line(tmp_path):
    with pytest.raises(ConfigError, match=r"critic\.from: cannot load '.*nothing'"):
        make_critic(tiny_llama(), str(tmp_path / "nothing"))
    small = tiny_llama()
    small.resize_token_embeddings(32)
    small.save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigError, match=r"knows 32 tokens, and the policy 64"):
        make_critic(tiny_llama(), str(tmp_path / "other"))
