"""What the controls package brings."""

from palestra.plugins.specs import RewardModelSpec


def palestra_reward_models() -> list[RewardModelSpec]:
    """Declare the random reward."""
    return [
        RewardModelSpec(
            name="random",
            entry_point="palestra_controls.rewards:RandomReward",
            summary="0 or 1 by the hash of the completion: what training earns by chance alone",
        )
    ]
