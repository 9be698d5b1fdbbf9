"""What this package brings: names only; torch is imported when a recipe uses the optimizer."""

from palestra import PolicyOptimizerSpec, RewardModelSpec


def palestra_reward_models() -> list[RewardModelSpec]:
    """Declare the reward."""
    return [
        RewardModelSpec(
            name="brevity",
            entry_point="palestra_brevity.reward:BrevityReward",
            summary="1 for an answer without thoughts, 0 from 1,000 characters of them on",
        )
    ]


def palestra_policy_optimizers() -> list[PolicyOptimizerSpec]:
    """Declare the optimizer."""
    return [
        PolicyOptimizerSpec(
            name="reinforce_loo",
            entry_point="palestra_brevity.optimizer:ReinforceLeaveOneOut",
            config="palestra_brevity.optimizer:ReinforceLeaveOneOutConfig",
            summary="REINFORCE, each completion against the mean of its group's others",
        )
    ]
