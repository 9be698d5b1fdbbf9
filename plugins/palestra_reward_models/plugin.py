"""What the package brings: names only; a recipe that uses one imports its module."""

from palestra.plugins.specs import RewardModelSpec

_HERE = "palestra_reward_models"


def palestra_reward_models() -> list[RewardModelSpec]:
    """Declare the reward models."""
    return [
        RewardModelSpec(
            name="neural",
            entry_point=f"{_HERE}.neural:Neural",
            config=f"{_HERE}.neural_config:NeuralConfig",
            summary="the score of a sequence-classification model with one label",
        ),
    ]
