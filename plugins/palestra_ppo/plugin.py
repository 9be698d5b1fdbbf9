"""What the PPO package brings: names only; a recipe that uses it imports its module."""

from palestra.plugins.specs import PolicyOptimizerSpec


def palestra_policy_optimizers() -> list[PolicyOptimizerSpec]:
    """Declare PPO."""
    return [
        PolicyOptimizerSpec(
            name="ppo",
            entry_point="palestra_ppo.ppo:PPO",
            config="palestra_ppo.ppo:PPOConfig",
            summary="proximal policy optimization with a critic, GAE and a KL in the reward",
        )
    ]
